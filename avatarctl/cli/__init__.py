"""The command line: one file a command, each imported only when it is called, so that `--help` is fast."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script; never shows a traceback unless asked with -v."""
    try:
        from avatarctl.cli.app import run
    except KeyboardInterrupt:
        # It came before there was a handler for it; nothing has begun yet.
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))
