"""The worker's side, begun by `start.py`.

The protocol has file descriptors of its own, and descriptor 1 is pointed at 2: what a library prints cannot
get between the messages. One thread reads orders, so that `cancel` is heard while an engine works; one
says every few seconds that the process is alive; engines run on the main thread. When the run dies its
end of the pipe closes, and the worker ends at once.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import queue
import threading
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from avatarctl import __version__
from avatarctl.engines.contract import Cancelled, Engine, Job
from avatarctl.engines.worker import memory, protocol, start
from avatarctl.errors import AvatarctlError, Unavailable

LEAST_BETWEEN_PROGRESS = 0.1
"""Seconds: an engine may report every frame, the pipe need not carry all of it."""

LONGEST_TEXT = 100_000
"""Characters in a message: as many bytes as a line may have hold them, whatever they are."""


class Server:
    """Engines at the end of two pipes; one of them works at a time."""

    def __init__(self, orders: BinaryIO, answers: BinaryIO) -> None:
        self._engines: dict[int, Engine] = {}
        self._orders, self._answers = orders, answers
        self._speaking = threading.Lock()
        self._todo: queue.Queue[protocol.Message | None] = queue.Queue()
        self._cancelled: set[int] = set()
        self._busy: dict[str, Any] | None = None

    def say(self, kind: str, **fields: Any) -> None:
        """Send one message, whole."""
        line = protocol.encode(kind, **fields)
        with self._speaking:
            self._answers.write(line)
            self._answers.flush()

    def serve(self) -> None:
        """Work until `shutdown`."""
        threading.Thread(target=self._listen, name="orders", daemon=True).start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        while (order := self._todo.get()) is not None:
            self._obey(order)
        for engine in self._engines.values():
            engine.close()

    def _listen(self) -> None:
        for line in self._orders:
            order = protocol.decode(line)
            if order["type"] == "cancel":
                self._cancelled.add(order["id"])
            elif order["type"] == "shutdown":
                self._todo.put(None)
                return
            else:
                self._todo.put(order)
        # Nobody is left to work for; the engine may be deep in a library that cannot be interrupted.
        os._exit(0)

    def _beat(self) -> None:
        while True:
            time.sleep(protocol.HEARTBEAT)
            busy = self._busy
            if busy is not None:
                self.say("progress", **busy)

    def _obey(self, order: protocol.Message) -> None:
        number, kind = order["id"], order["type"]
        self._busy = {"id": number, "done": 0.0, "total": 0.0, "unit": ""}
        begun = time.perf_counter()
        outputs: list[dict[str, Any]] = []
        device = ""
        try:
            if kind == "load":
                self._load(order)
            elif kind == "run":
                engine = self._engines[order["instance"]]
                outputs = self._run(engine, order)
                device = str(getattr(engine, "device", ""))
            elif kind != "ping":
                raise AvatarctlError(f"the worker knows no order {kind!r}")
        except Cancelled:
            self._say_error(number, "cancelled", "cancelled")
        except AvatarctlError as error:
            self._say_error(number, protocol.code_of(error), error.what, error.why, error.hint)
        except Exception as error:
            self._fault(number, error)
        else:
            seconds = time.perf_counter() - begun
            self.say("result", id=number, outputs=outputs, seconds=seconds, memory=memory.report(), device=device)
        finally:
            self._busy = None

    def _fault(self, number: int, error: Exception) -> None:
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        if memory.is_out_of_memory(error):
            hint = "take a smaller size, or close what else uses the GPU"
            self._say_error(number, "out_of_memory", "memory ran out", why, hint)
        elif isinstance(error, ImportError):
            self._say_error(number, "unavailable", "the engine lacks a package", why)
        elif isinstance(error, OSError) and error.errno:
            about = ": ".join(str(part) for part in (error.strerror, error.filename) if part)
            self._say_error(number, "engine_bug", protocol.ENGINE_FAILED, about, errno=error.errno)
        else:
            self._say_error(number, "engine_bug", protocol.ENGINE_FAILED, why, "-v shows more")

    def _say_error(self, number: int, code: str, what: str, why: str = "", hint: str = "", errno: int = 0) -> None:
        """About the exception that is being handled."""
        detail = "" if code == "cancelled" else traceback.format_exc()
        self.say("error", id=number, code=code, what=what, why=why, hint=hint, detail=detail, errno=errno)

    def _load(self, order: protocol.Message) -> None:
        engine = _created(order)
        files = {name: Path(path) for name, path in order["models"].items()}
        for name, wanted in order["digests"].items():
            if _sha256(files[name]) != wanted:
                raise _mismatch(files[name])
        try:
            engine.load(files)
        except BaseException:
            engine.close()
            raise
        self._engines[order["instance"]] = engine

    def _run(self, engine: Engine, order: protocol.Message) -> list[dict[str, Any]]:
        number, out = order["id"], Path(order["out"])
        module, _, name = order["params_class"].partition(":")
        params = getattr(importlib.import_module(module), name)(**order["params"])
        last = 0.0

        def progress(done: float, total: float, unit: str) -> None:
            nonlocal last
            self._busy = {"id": number, "done": done, "total": total, "unit": unit}
            now = time.perf_counter()
            if now - last >= LEAST_BETWEEN_PROGRESS or done >= total:
                last = now
                self.say("progress", **self._busy)

        def emit(text: str) -> None:
            for first in range(0, len(text), LONGEST_TEXT):
                self.say("text", id=number, text=text[first : first + LONGEST_TEXT])

        engine.run(
            Job(
                inputs={role: Path(path) for role, path in order["inputs"].items()},
                out=out,
                params=params,
                key=order["key"],
                seed=order["seed"],
                threads=order["threads"],
                progress=progress,
                emit=emit,
                note=lambda message: self.say("log", id=number, level="note", message=message),
                used=lambda unit, amount: self.say("used", id=number, unit=unit, amount=amount),
                cancelled=lambda: number in self._cancelled,
            )
        )
        return [
            {"name": path.name, "size": path.stat().st_size, "sha256": _sha256(path)}
            for path in sorted(out.iterdir())
            if path.is_file()
        ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _created(order: protocol.Message) -> Engine:
    """The engine that an order to load names.

    Raises:
        Unavailable: its source here is not what the run has; or its module, or a package that it imports at once, is
            not here.
    """
    factory, title = order["factory"], order["engine"]
    module, _, name = factory.partition(":")
    for package, folders in order["packages"].items():
        start.let_in(package, folders)
    try:
        if protocol.source_digest(factory) != order["code"]:
            why = f"it is of version {__version__}, this is {order['version']}"
            raise Unavailable(f"the worker of {title} runs other code than this", why=why)
        engine: Engine = getattr(importlib.import_module(module), name)()
    except ImportError as error:
        raise Unavailable(f"the engine {title} cannot start", why=f"{type(error).__name__}: {error}") from error
    return engine


def _mismatch(file: Path) -> AvatarctlError:
    # What it is called here may be its role; its folder among the models has the name that can be pulled.
    name = file.parent.name
    return Unavailable(f"the model {name} is damaged", hint=f"avatarctl models pull {name}")


def main() -> None:
    """Take over standard input and output for the protocol, greet, and serve."""
    orders = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    server = Server(orders, answers)
    server.say("hello", proto=protocol.PROTOCOL, version=__version__, python=platform.python_version())
    server.serve()


if __name__ == "__main__":
    main()
