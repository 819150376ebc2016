"""The command line: one file a command, each imported only when it is called, so that `--help` is fast."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def main() -> None:
    """Entry point of the console script; never shows a traceback unless asked with -v."""
    # OpenBLAS reads it when numpy is imported. It divides even small products among all cores, and who waits for the
    # others spins: to enrol somebody took a quarter more of the processor, and longer.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from avatarctl.cli.app import run
    except KeyboardInterrupt:
        # It came before there was a handler for it; nothing has begun yet.
        sys.exit(130)
    code = run(sys.argv[1:])
    attended = sys.modules.get("avatarctl.runtime.attended")
    if attended is not None and attended.anything_left():
        # The interpreter's own end would wait for threads that an engine has started.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
