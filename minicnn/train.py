"""The command line: ``python -m minicnn.train <app>``."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from minicnn.errors import MinicnnError

__all__ = ["main"]

APPS = {"gtsrb": "classify traffic signs"}
SIGNALLED = 128  # plus the signal: what a shell says of a program that one has ended
WRONG_USE = 2


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and where to read more, and exit with status 2."""
        self.exit(WRONG_USE, f"{self.prog}: error: {message} (try {self.prog} --help)\n")


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
        143 after SIGTERM.
    """
    parser = Parser(
        prog="python -m minicnn.train",
        description="Train, evaluate and apply the networks of minicnn.",
        epilog="Each app has its own help: python -m minicnn.train gtsrb --help",
    )
    apps = parser.add_subparsers(
        dest="app", metavar="app", required=True, title="apps", parser_class=Parser
    )
    for name, purpose in APPS.items():
        commands = importlib.import_module(f"minicnn.apps.{name}_commands")
        commands.add_arguments(apps.add_parser(name, help=purpose, **commands.HELP))
    options = parser.parse_args(arguments)
    try:
        return options.command(options)
    except (MinicnnError, OSError) as error:
        text = str(error).replace("skip_bad=True", "--skip-bad")  # the option's name here
        print(f"python -m minicnn.train {options.app}: error: {text}", file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt as interrupt:
        print(f"\nstopped{': ' if str(interrupt) else ''}{interrupt}", file=sys.stderr)
        return SIGNALLED + getattr(interrupt, "number", signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
