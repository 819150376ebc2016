"""The worker's side: `python -m avatarctl.engines.worker.serve STAGE/NAME MODULE:CLASS`.

The protocol has file descriptors of its own, and descriptor 1 is pointed at 2: what a library prints cannot
get between the messages. One thread reads orders, so that `cancel` is heard while the engine works; one
says every few seconds that the process is alive; the engine runs on the main thread. When the run dies its
end of the pipe closes, and the worker ends at once.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import queue
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from avatarctl import __version__
from avatarctl.engines.contract import Cancelled, Engine, Job
from avatarctl.engines.worker import memory, protocol
from avatarctl.errors import AvatarctlError

LEAST_BETWEEN_PROGRESS = 0.1
"""Seconds: an engine may report every frame, the pipe need not carry all of it."""


class Server:
    """One engine at the end of two pipes."""

    def __init__(self, engine: Engine, orders: BinaryIO, answers: BinaryIO) -> None:
        self._engine = engine
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
        self._engine.close()

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
        try:
            if kind == "load":
                self._load(order)
            elif kind == "run":
                outputs = self._run(order)
            elif kind == "unload":
                self._engine.close()
                memory.release()
            elif kind != "ping":
                raise AvatarctlError(f"the worker knows no order {kind!r}")
        except Cancelled:
            self.say("error", id=number, code="cancelled", what="cancelled", why="", hint="", detail="")
        except AvatarctlError as error:
            detail = traceback.format_exc()
            code = protocol.code_of(error)
            self.say("error", id=number, code=code, what=error.what, why=error.why, hint=error.hint, detail=detail)
        except Exception as error:
            self._fault(number, error)
        else:
            seconds = time.perf_counter() - begun
            self.say("result", id=number, outputs=outputs, seconds=seconds, memory=memory.report())
        finally:
            self._busy = None

    def _fault(self, number: int, error: Exception) -> None:
        detail, why = traceback.format_exc(), f"{type(error).__name__}: {error}".splitlines()[0]
        if memory.is_out_of_memory(error):
            hint = "take a smaller size, or close what else uses the GPU"
            self.say("error", id=number, code="out_of_memory", what="memory ran out", why=why, hint=hint, detail=detail)
        elif isinstance(error, ImportError):
            what = "the engine lacks a package"
            self.say("error", id=number, code="unavailable", what=what, why=why, hint="", detail=detail)
        else:
            what = "the engine failed"
            self.say("error", id=number, code="engine_bug", what=what, why=why, hint="-v shows more", detail=detail)

    def _load(self, order: protocol.Message) -> None:
        files = {name: Path(path) for name, path in order["models"].items()}
        for name, wanted in order["digests"].items():
            if _sha256(files[name]) != wanted:
                raise _mismatch(files[name])
        self._engine.load(files)

    def _run(self, order: protocol.Message) -> list[dict[str, Any]]:
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

        self._engine.run(
            Job(
                inputs={role: Path(path) for role, path in order["inputs"].items()},
                out=out,
                params=params,
                key=order["key"],
                seed=order["seed"],
                threads=order["threads"],
                progress=progress,
                emit=lambda text: self.say("text", id=number, text=text),
                note=lambda message: self.say("log", id=number, level="note", message=message),
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


def _mismatch(file: Path) -> AvatarctlError:
    from avatarctl.errors import Unavailable

    # What it is called here may be its role; its folder among the models has the name that can be pulled.
    name = file.parent.name
    return Unavailable(f"the model {name} is damaged", hint=f"avatarctl models pull {name}")


def main(arguments: list[str]) -> None:
    """Take over standard input and output for the protocol, greet, and serve."""
    engine_name, factory = arguments
    orders = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    hello: Mapping[str, Any] = {
        "proto": protocol.PROTOCOL,
        "engine": engine_name,
        "version": __version__,
        "code": protocol.source_digest(factory),
        "python": platform.python_version(),
    }
    answers.write(protocol.encode("hello", **hello))
    answers.flush()
    module, _, name = factory.partition(":")
    try:
        engine: Engine = getattr(importlib.import_module(module), name)()
    except ImportError as error:
        why = f"{type(error).__name__}: {error}"
        fault = protocol.encode("error", id=0, code="unavailable", what=f"{engine_name} cannot start", why=why,
                                hint="", detail=traceback.format_exc())  # fmt: skip
        answers.write(fault)
        answers.flush()
        return
    Server(engine, orders, answers).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
