"""The command line: ``python -m minicnn.train <app>``."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence

from minicnn._command_line import SIGNALLED, WRONG_USE, Parser
from minicnn._reading import printable
from minicnn.errors import MinicnnError

__all__ = ["main"]

APPS = {
    "gtsrb": "classify traffic signs",
    "detect": "find objects in pictures",
    "segment": "tell of every pixel what it shows",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after the program's name; by default those of this process.

    Returns
    -------
    int
        The exit status: 0 if all went well, 2 for wrong use or broken data, 130 after Ctrl-C,
        143 after SIGTERM, 129 after SIGHUP.
    """
    parser = Parser(
        prog="python -m minicnn.train",
        description="Train, evaluate and apply the networks of minicnn.",
        epilog="Each app has its own help: python -m minicnn.train detect --help",
    )
    apps = parser.add_subparsers(
        dest="app", metavar="app", required=True, title="apps", parser_class=Parser
    )
    words = sys.argv[1:] if arguments is None else arguments
    for name, purpose in APPS.items():
        app = apps.add_parser(name, help=purpose)
        if name in words:  # the others need not be loaded
            from minicnn.apps._commands import add_arguments

            add_arguments(app, importlib.import_module(f"minicnn.apps.{name}_commands").APP)
    options = parser.parse_args(words)
    try:
        return options.command(options)
    except (MinicnnError, OSError) as error:
        # What was added on the way, such as where the run is saved
        text = "; ".join([str(error), *getattr(error, "__notes__", ())])
        text = text.replace("skip_bad=True", "--skip-bad")  # the option's name here
        print(f"python -m minicnn.train {options.app}: error: {printable(text)}", file=sys.stderr)
        return WRONG_USE
    except MemoryError as error:
        print(
            f"python -m minicnn.train {options.app}: error: not enough memory ({error}); make "
            "--size, --channels or --batch-size smaller",
            file=sys.stderr,
        )
        return WRONG_USE
    except KeyboardInterrupt as interrupt:
        text = "; ".join([str(interrupt), *getattr(interrupt, "__notes__", ())])
        print(f"\nstopped{': ' if text else ''}{text}", file=sys.stderr)
        return SIGNALLED + getattr(interrupt, "number", signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
