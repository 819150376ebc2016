"""The run's side: an engine that is a process, or one of several in a process.

Invariants: a worker never outlives its run; a worker that breaks the protocol, falls silent or dies fails
the step that it was at, with its own last words, and the next step gets a new one; a file counts as made
only if it is as long and hashes as the worker said.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import avatarctl
from avatarctl.engines.contract import Cancelled, EngineSpec, Job
from avatarctl.engines.worker import protocol, start
from avatarctl.engines.worker.process import GRACE, Process
from avatarctl.errors import AvatarctlError, StepFailed, Unavailable

GREETING = 60.0
"""Seconds for the interpreter to start and say hello."""
SILENCE = 60.0
"""Seconds without a sign of life after which a busy worker is taken for hung."""
_POLL = 0.1
_INSTANCES = itertools.count(1)


class Worker:
    """A process for engines, begun when it is first needed and again when it was lost.

    Several engines may share it, if only one of them is at work at a time: whoever is holds `lock`.
    """

    def __init__(self, python: str = sys.executable, threads: int = 0) -> None:
        """`python`: the interpreter. `threads`: how many the libraries of linear algebra may start at import, where the
        environment does not say; 0 leaves it to them."""
        self._python = python
        self._environment = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if threads}
        self._process: Process | None = None
        self.lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process and self._process.alive else None

    def process(self) -> Process | None:
        """The process that is there, if it lives."""
        return self._process if self._process and self._process.alive else None

    def begin(self, title: str) -> Process:
        """Start the process anew. `title`: for whom."""
        self.end()
        ours = str(Path(avatarctl.__file__).resolve().parent.parent)
        command = [self._python, "-P", start.__file__, ours, title]
        self._process = Process(title, command, self._environment)
        return self._process

    def end(self, grace: float | None = None) -> None:
        """End the process and everything that it started; its memory is free when this returns.

        `grace`: seconds that it has to go by itself; None for the usual ones.
        """
        if self._process is not None:
            self._process.end(grace)
            self._process = None


class WorkerEngine:
    """An engine of the ordinary contract whose work is done by another process, kept warm between steps."""

    def __init__(
        self,
        spec: EngineSpec,
        python: str = sys.executable,
        digests: Mapping[str, str] | None = None,
        worker: Worker | None = None,
    ) -> None:
        """`python`: the interpreter of a worker of its own. `digests`: SHA-256 by model name, checked by the worker
        before it loads. `worker`: one that it shares with other engines, whose lock the caller holds."""
        self._spec = spec
        self._digests = dict(digests or {})
        self._models: dict[str, str] = {}
        self._worker = worker or Worker(python)
        self._loaded_in: Process | None = None
        self._instance = next(_INSTANCES)
        self.memory: dict[str, Any] = {}
        """What the worker last said of its memory; see `memory.report`."""
        self.device = ""
        """Where the engine says that it ran last; empty where it says nothing."""

    @property
    def pid(self) -> int | None:
        """The worker's process, while there is one."""
        return self._worker.pid

    def load(self, models: Mapping[str, Path]) -> None:
        """Start the worker, and have it load the models.

        Raises:
            Unavailable: it cannot start, is of another version, lacks a package, or a model is damaged.
        """
        self._models = {name: str(path) for name, path in models.items()}
        self._loaded_in = None
        self._ready()

    def run(self, job: Job) -> None:
        """Have the worker do it. A worker that was lost is replaced first."""
        process = self._ready()
        order = {
            "instance": self._instance,
            "inputs": {role: str(path) for role, path in job.inputs.items()},
            "out": str(job.out),
            "params": dataclasses.asdict(job.params),
            "params_class": f"{type(job.params).__module__}:{type(job.params).__qualname__}",
            "key": job.key,
            "seed": job.seed,
            "threads": job.threads,
        }
        result = self._ask(process, "run", order, job)
        self.device = str(result.get("device", ""))
        for output in result["outputs"]:
            _check_output(job.out, output, self._title)

    def close(self) -> None:
        """End the worker and everything that it started; its memory is free when this returns.

        Engines that share it are loaded again when they are next needed.
        """
        self._worker.end()

    def kill(self) -> None:
        """The same at once, for a process that another thread waits for: that one's waiting ends with an error."""
        self._worker.end(0)

    @property
    def _title(self) -> str:
        return f"{self._spec.stage}/{self._spec.name}"

    def _packages(self) -> dict[str, list[str]]:
        """Where the engine's own packages lie, when it is none of ours; the worker has avatarctl."""
        modules = (self._spec.factory.partition(":")[0], self._spec.params.__module__)
        return dict(start.place(module) for module in modules if module.partition(".")[0] != "avatarctl")

    def _ready(self) -> Process:
        """The worker's process, with this engine loaded into it."""
        process = self._worker.process()
        if process is None:
            process = self._worker.begin(self._title)
            hello = process.next(GREETING, self._lost)
            if hello["type"] != "hello" or hello.get("proto") != protocol.PROTOCOL:
                raise self._broken(process, f"it greeted with {hello['type']!r}, protocol {hello.get('proto')!r}")
        if self._loaded_in is not process:
            order = {
                "instance": self._instance,
                "engine": self._title,
                "factory": self._spec.factory,
                "packages": self._packages(),
                "code": protocol.source_digest(self._spec.factory),
                "version": avatarctl.__version__,
                "models": self._models,
                "digests": {name: digest for name, digest in self._digests.items() if name in self._models},
            }
            try:
                self._ask(process, "load", order)
            except BaseException:
                # An interpreter of an engine's own is of no use without it.
                if self._spec.worker:
                    self._worker.end()
                raise
            self._loaded_in = process
        return process

    def _ask(
        self, process: Process, kind: str, order: Mapping[str, Any], job: Job = Job(inputs={}, out=Path(), params=None)
    ) -> protocol.Message:
        """Send an order and follow it to its result; what the worker says meanwhile goes to `job`."""
        number = process.send(kind, order)
        heard = time.monotonic()
        stopping: float | None = None
        while True:
            now = time.monotonic()
            if stopping is None and job.cancelled():
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
                if message["type"] == "result":
                    self.memory = dict(message["memory"])
                    if stopping is not None:
                        raise Cancelled
                    return message
                if message["type"] == "error":
                    raise self._error(message, stopping is not None)
                _pass_on(message, job)
            except (KeyError, TypeError) as fault:
                raise self._broken(process, f"a {message['type']} without {fault}") from fault

    def _error(self, message: protocol.Message, stopping: bool) -> Exception:
        if stopping or message["code"] == "cancelled":
            return Cancelled()
        error: Exception
        if message.get("errno"):
            # The machine's fault, not the engine's: whoever asked knows what it means.
            error = OSError(int(message["errno"]), str(message["why"]))
        else:
            failed = message["what"] == protocol.ENGINE_FAILED
            what = f"{self._title} failed" if failed else message["what"]
            error = protocol.error_of(message["code"], what, message["why"], message["hint"])
            if isinstance(error, Unavailable) and not error.hint:
                error.hint = self._hint()
        error.__cause__ = WorkerTrace(message.get("detail", ""))
        return error

    def _hint(self) -> str:
        """What to do where the worker's environment is not what it should be."""
        if self._spec.extra:
            return f"pip install 'avatarctl[{self._spec.extra}]'"
        if self._spec.worker:
            return f"avatarctl engines install {self._spec.name} --again"
        return "install avatarctl again, and then give the same command"

    def _lost(self, process: Process) -> AvatarctlError:
        code = process.end()
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        error = StepFailed(f"the worker of {self._title} died", why=ended + process.last_word(), hint="try again")
        error.__cause__ = WorkerTrace(process.log())
        return error

    def _broken(self, process: Process, why: str) -> AvatarctlError:
        process.end(0)
        error = StepFailed(f"the worker of {self._title} cannot be understood", why=why, hint="try again")
        error.__cause__ = WorkerTrace(process.log())
        return error


class WorkerTrace(Exception):
    """What went wrong in the worker, as it told it; shown with -v."""


def _pass_on(message: protocol.Message, job: Job) -> None:
    """What a worker says while it works."""
    if message["type"] == "progress":
        if message["total"]:
            job.progress(message["done"], message["total"], message["unit"])
    elif message["type"] == "text":
        job.emit(message["text"])
    elif message["type"] == "log":
        job.note(str(message["message"]))
    elif message["type"] == "used":
        job.used(str(message["unit"]), float(message["amount"]))


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
