"""Functions done in a forked child, for tests: with their result, and an end in any case."""

import faulthandler
import os
import pickle
import select
import signal
import traceback
import warnings

LIMIT = 40.0  # seconds, after which something hangs


def fork():
    """Return what os.fork does, which warns of threads since Python 3.12."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def begin(function, *arguments):
    """Do a function in a forked child; return its process and the pipe for `result`."""
    reading, writing = os.pipe()
    process = fork()
    if process:
        os.close(writing)
        return process, reading
    try:
        os.close(reading)
        faulthandler.dump_traceback_later(LIMIT - 2, exit=True)
        try:
            answer = True, function(*arguments)
        except BaseException:
            answer = False, traceback.format_exc()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(answer))
    finally:
        os._exit(0)


def result(process, reading):
    """Return what the function did; raise if it did, or if it takes too long."""
    with os.fdopen(reading, "rb") as pipe:
        if not select.select([pipe], [], [], LIMIT)[0]:
            os.kill(process, signal.SIGKILL)
        content = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert content, f"the child said nothing and ended with {status}"
    good, answer = pickle.loads(content)
    assert good, f"in the child: {answer}"
    return answer


def in_child(function, *arguments):
    """Return what a function does in a forked child."""
    return result(*begin(function, *arguments))
