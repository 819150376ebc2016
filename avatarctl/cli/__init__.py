"""The command line: one file a command, each imported only when it is called, so that `--help` is fast."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script; never shows a traceback unless asked with -v."""
    from avatarctl.cli.app import run

    sys.exit(run(sys.argv[1:]))
