"""Keeps the chatter of C and C++ libraries off the terminal.

Image codecs and inference runtimes write straight to file descriptor 2, past Python and past every log
level they offer. stderr belongs to the user, so those lines, and only those, are taken out.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()


@contextmanager
def without_chatter(pattern: re.Pattern[bytes]) -> Iterator[list[str]]:
    """Hold back what is written to file descriptor 2; afterwards write it out, less the lines that match.

    Yields a list that holds the matching lines once the block has ended.
    """
    taken: list[str] = []
    with _LOCK, tempfile.TemporaryFile() as held:
        try:
            terminal = os.dup(2)
        except OSError:  # a daemon may have closed its stderr: nothing to keep clean
            yield taken
            return
        try:
            os.dup2(held.fileno(), 2)
            yield taken
        finally:
            os.dup2(terminal, 2)
            held.seek(0)
            for line in held.read().splitlines(keepends=True):
                if pattern.search(line):
                    taken.append(line.decode("utf-8", "replace").strip())
                else:
                    os.write(terminal, line)
            os.close(terminal)
