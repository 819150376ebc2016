"""A worker's process as the run sees it: its pipes, the threads that read them, and its end."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from avatarctl.engines.worker import protocol
from avatarctl.errors import AvatarctlError, Unavailable

GRACE = 5.0
"""Seconds between asking a worker to stop and killing it."""
_LAST_WORDS = 60
"""Lines of a worker's standard error that are kept."""
_LONGEST_WORD = 500
"""Bytes of such a line that are kept."""


_MANNERS = {"OMP_WAIT_POLICY": "passive"}
"""Unless the user says otherwise, threads of torch that wait for each other are not to spin: beside other work on the
same cores, a network took up to eight times as long with threads that do."""


class Process:
    """A worker's process: its pipes, the thread that reads them, and its end."""

    def __init__(self, title: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """`title`: of the engine, for errors. `environment`: what holds where this process's own says nothing else."""
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Its own group: whatever it starts goes with it, and Ctrl-C is ours to pass on.
                process_group=0,
                env={**_MANNERS, **environment, **os.environ, "PYTHONUNBUFFERED": "1"},
            )
        except OSError as error:
            hint = "check [engines] python in avatarctl.toml"
            raise Unavailable(f"the worker of {title} cannot start", why=str(error), hint=hint) from error
        self._messages: queue.Queue[protocol.Message] = queue.Queue()
        self._log: deque[str] = deque(maxlen=_LAST_WORDS)
        self._number = 0
        self._code: int | None = None
        self._threads = [
            threading.Thread(target=work, name=f"worker-{what}", daemon=True)
            for work, what in ((self._read, "messages"), (self._listen, "log"))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._code is None and not self._has_ended()

    def _has_ended(self) -> bool:
        try:
            return os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _read(self) -> None:
        assert self._child.stdout is not None
        with suppress(ValueError, OSError):
            while line := self._child.stdout.readline(protocol.LONGEST_LINE):
                try:
                    self._messages.put(protocol.decode(line))
                except protocol.Garbled as error:
                    self._messages.put({"type": "garbled", "why": str(error)})
        self._messages.put({"type": "eof"})

    def _listen(self) -> None:
        assert self._child.stderr is not None
        with suppress(ValueError, OSError):
            beginning = True
            # In pieces: a library that never ends its line must not fill the memory of this process.
            while piece := self._child.stderr.readline(_LONGEST_WORD):
                if beginning:
                    self._log.append(piece.decode("utf-8", "replace").rstrip())
                beginning = piece.endswith(b"\n")

    def send(self, kind: str, order: Mapping[str, Any]) -> int:
        """The order's number. A worker that is gone is noticed by whoever waits for the answer."""
        self._number += 1
        self._write(protocol.encode(kind, id=self._number, **order))
        return self._number

    def send_cancel(self, number: int) -> None:
        self._write(protocol.encode("cancel", id=number))

    def _write(self, line: bytes) -> None:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError, ValueError):
            self._child.stdin.write(line)
            self._child.stdin.flush()

    def next(self, seconds: float, lost: Callable[[Process], AvatarctlError] | None = None) -> Any:
        """The next message, or None after `seconds`; with `lost`, an end or a wait too long is an error."""
        try:
            message = self._messages.get(timeout=seconds)
        except queue.Empty:
            message = None
        if lost is not None and (message is None or message["type"] in ("eof", "garbled")):
            raise lost(self)
        return message

    def end(self, grace: float | None = None) -> int:
        """Shut it down; its exit code. What does not go by itself is killed, with all that it started."""
        if self._code is not None:
            return self._code
        self._write(protocol.encode("shutdown"))
        with suppress(BrokenPipeError, ValueError, OSError):
            assert self._child.stdin is not None
            self._child.stdin.close()
        deadline = time.monotonic() + (GRACE if grace is None else grace)
        # Not reaped yet, so that its number still names its group and nobody else's.
        while not self._has_ended() and time.monotonic() < deadline:
            time.sleep(0.005)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._code = code = self._child.wait()
        for thread in self._threads:
            thread.join(1.0)
        for pipe in (self._child.stdout, self._child.stderr):
            if pipe is not None:
                pipe.close()
        return code

    def log(self) -> str:
        return "\n".join(self._log)

    def last_word(self) -> str:
        return f": {self._log[-1]}" if self._log else ""
