"""The run's side: an engine that is a process.

Invariants: a worker never outlives its run; a worker that breaks the protocol, falls silent or dies fails
the step that it was at, with its own last words, and the next step gets a new one; a file counts as made
only if it is as long and hashes as the worker said.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import avatarctl
from avatarctl.engines.contract import Cancelled, EngineSpec, Job
from avatarctl.engines.worker import protocol
from avatarctl.errors import AvatarctlError, StepFailed, Unavailable

GREETING = 60.0
"""Seconds for the interpreter to start and say hello."""
SILENCE = 60.0
"""Seconds without a sign of life after which a busy worker is taken for hung."""
GRACE = 5.0
"""Seconds between asking a worker to stop and killing it."""
_POLL = 0.1
_MANNERS = {"OMP_WAIT_POLICY": "passive"}
"""Unless the user says otherwise, threads of torch that wait for each other are not to spin: beside other work on the
same cores, a network took up to eight times as long with threads that do."""
_LAST_WORDS = 60
"""Lines of a worker's standard error that are kept."""
_LONGEST_WORD = 500
"""Bytes of such a line that are kept."""


class WorkerEngine:
    """An engine of the ordinary contract whose work is done by another process, kept warm between steps."""

    def __init__(
        self, spec: EngineSpec, python: str = sys.executable, digests: Mapping[str, str] | None = None
    ) -> None:
        """`python`: the interpreter. `digests`: SHA-256 by model name, checked by the worker before it loads."""
        self._spec = spec
        self._python = python
        self._digests = dict(digests or {})
        self._models: dict[str, str] = {}
        self._process: _Process | None = None
        self.memory: dict[str, Any] = {}
        """What the worker last said of its memory; see `memory.report`."""

    @property
    def pid(self) -> int | None:
        """The worker's process, while there is one."""
        return self._process.pid if self._process and self._process.alive else None

    def load(self, models: Mapping[str, Path]) -> None:
        """Start the worker, and have it load the models.

        Raises:
            Unavailable: it cannot start, is of another version, lacks a package, or a model is damaged.
        """
        self._models = {name: str(path) for name, path in models.items()}
        self._start()

    def run(self, job: Job) -> None:
        """Have the worker do it. A worker that was lost is replaced first."""
        process = self._process
        if process is None or not process.alive:
            process = self._start()
        order = {
            "inputs": {role: str(path) for role, path in job.inputs.items()},
            "out": str(job.out),
            "params": dataclasses.asdict(job.params),
            "params_class": f"{type(job.params).__module__}:{type(job.params).__qualname__}",
            "key": job.key,
            "seed": job.seed,
            "threads": job.threads,
        }
        result = self._ask(process, "run", order, job.progress, job.emit, job.cancelled, job.note)
        for output in result["outputs"]:
            _check_output(job.out, output, self._title)

    def close(self) -> None:
        """End the worker and everything that it started; its memory is free when this returns."""
        if self._process is not None:
            self._process.end()
            self._process = None

    @property
    def _title(self) -> str:
        return f"{self._spec.stage}/{self._spec.name}"

    def _start(self) -> _Process:
        self.close()
        process = _Process(self._title, [self._python, "-m", "avatarctl.engines.worker.serve", self._title,
                                         self._spec.factory])  # fmt: skip
        self._process = process
        hello = process.next(GREETING, self._lost)
        if hello["type"] != "hello" or hello.get("proto") != protocol.PROTOCOL:
            raise self._broken(process, f"it greeted with {hello['type']!r}, protocol {hello.get('proto')!r}")
        if hello.get("code") != protocol.source_digest(self._spec.factory):
            process.end()
            why = f"it is of version {hello.get('version')}, this is {avatarctl.__version__}"
            hint = f"avatarctl engines install {self._spec.name} --again"
            raise Unavailable(f"the worker of {self._title} runs other code than this", why=why, hint=hint)
        digests = {name: digest for name, digest in self._digests.items() if name in self._models}
        self._ask(process, "load", {"models": self._models, "digests": digests})
        return process

    def _ask(
        self,
        process: _Process,
        kind: str,
        order: Mapping[str, Any],
        progress: Callable[[float, float, str], None] | None = None,
        emit: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> protocol.Message:
        """Send an order and follow it to its result."""
        number = process.send(kind, order)
        heard = time.monotonic()
        stopping: float | None = None
        while True:
            now = time.monotonic()
            if stopping is None and cancelled is not None and cancelled():
                process.send_cancel(number)
                stopping = now
            if stopping is not None and now - stopping > GRACE:
                process.end(0)
                raise Cancelled
            if now - heard > SILENCE:
                raise self._broken(process, f"it has been silent for {SILENCE:.0f} s")
            message: protocol.Message | None = process.next(_POLL)
            if message is None:
                continue
            heard = now
            if message["type"] == "eof":
                if stopping is not None:
                    raise Cancelled
                raise self._lost(process)
            if message["type"] == "garbled":
                raise self._broken(process, message["why"])
            if message.get("id") not in (number, None, 0):
                continue
            try:
                if message["type"] == "progress" and progress is not None and message["total"]:
                    progress(message["done"], message["total"], message["unit"])
                elif message["type"] == "text" and emit is not None:
                    emit(message["text"])
                elif message["type"] == "log" and note is not None:
                    note(str(message["message"]))
                elif message["type"] == "result":
                    self.memory = dict(message["memory"])
                    if stopping is not None:
                        raise Cancelled
                    return message
                elif message["type"] == "error":
                    raise self._error(message, stopping is not None)
            except (KeyError, TypeError) as fault:
                raise self._broken(process, f"a {message['type']} without {fault}") from fault

    def _error(self, message: protocol.Message, stopping: bool) -> Exception:
        if stopping or message["code"] == "cancelled":
            return Cancelled()
        error = protocol.error_of(message["code"], message["what"], message["why"], message["hint"])
        if message["what"] == "the engine failed":
            error = protocol.error_of(message["code"], f"{self._title} failed", message["why"], message["hint"])
        if isinstance(error, Unavailable) and not error.hint:
            extra, name = self._spec.extra, self._spec.name
            error.hint = f"pip install 'avatarctl[{extra}]'" if extra else f"avatarctl engines install {name} --again"
        error.__cause__ = WorkerTrace(message.get("detail", ""))
        return error

    def _lost(self, process: _Process) -> AvatarctlError:
        code = process.end()
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        error = StepFailed(f"the worker of {self._title} died", why=ended + process.last_word(), hint="try again")
        error.__cause__ = WorkerTrace(process.log())
        return error

    def _broken(self, process: _Process, why: str) -> AvatarctlError:
        process.end(0)
        error = StepFailed(f"the worker of {self._title} cannot be understood", why=why, hint="try again")
        error.__cause__ = WorkerTrace(process.log())
        return error


class WorkerTrace(Exception):
    """What went wrong in the worker, as it told it; shown with -v."""


class _Process:
    """A worker's process: its pipes, the thread that reads them, and its end."""

    def __init__(self, title: str, command: list[str]) -> None:
        # The worker imports this very package, whatever its interpreter has installed.
        root = str(Path(avatarctl.__file__).resolve().parent.parent)
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH", "")])])
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Its own group: whatever it starts goes with it, and Ctrl-C is ours to pass on.
                process_group=0,
                env={**_MANNERS, **os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
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

    def next(self, seconds: float, lost: Callable[[_Process], AvatarctlError] | None = None) -> Any:
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


def _check_output(folder: Path, output: Mapping[str, Any], title: str) -> None:
    path = folder / Path(str(output["name"])).name
    try:
        with path.open("rb") as file:
            same = path.stat().st_size == output["size"] and (
                hashlib.file_digest(file, "sha256").hexdigest() == output["sha256"]
            )
    except OSError:
        same = False
    if not same:
        raise StepFailed(f"the worker of {title} left half a file", why=path.name, hint="try again")
