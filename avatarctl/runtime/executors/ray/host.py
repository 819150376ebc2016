"""The machine's side: one engine, performing one step at a time for a driver elsewhere.

Nothing here imports ray: the driver makes an actor of `Host`, so its methods are called from threads, several at once.
Each answers with plain data, {"error": ...} for a failure: an exception of an engine's own need not exist where the
driver is. Loading is a method, since a constructor that fails takes the reason along.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import avatarctl
from avatarctl import config, presets
from avatarctl.engines import readiness, registry
from avatarctl.engines.contract import Cancelled, EngineSpec, Job
from avatarctl.engines.worker import memory, protocol
from avatarctl.errors import AvatarctlError, StepFailed, Unavailable
from avatarctl.runtime.engines import EnginePool
from avatarctl.runtime.executors.ray.files import OwnFolder, SharedStore, Shelf
from avatarctl.stages.params import Params
from avatarctl.store.faults import LOOK_AT_KERNEL, disk_fails, disk_is_full
from avatarctl.store.keys import digest_file

Answer = dict[str, Any]
P = ParamSpec("P")


@functools.cache
def code_digest() -> str:
    """SHA-256 of the sources of avatarctl, by name and content: whether two machines would do the same."""
    root = Path(avatarctl.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def pack(spec: EngineSpec, params: Params) -> bytes:
    """Both, for a machine that has the same code."""
    return pickle.dumps((spec, params))


def _unpack(packed: bytes) -> tuple[EngineSpec, Params]:
    try:
        spec, params = pickle.loads(packed)
    except (ImportError, AttributeError) as error:
        raise Unavailable("an engine's package is not installed", why=str(error), hint="install it there") from error
    return spec, params


def _answers(method: Callable[Concatenate[Host, P], Any]) -> Callable[Concatenate[Host, P], Answer]:
    """Turn what a method returns or raises into an answer."""

    @functools.wraps(method)
    def call(self: Host, /, *args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            return {"result": method(self, *args, **kwargs)}
        except Cancelled:
            return {"error": {"code": "cancelled"}}
        except Exception as error:
            told = error if isinstance(error, AvatarctlError) else self.explained(error)
            texts = {"what": told.what, "why": told.why, "hint": told.hint}
            return {"error": {"code": protocol.code_of(told), **texts, "detail": traceback.format_exc()}}

    return call


class Host:
    """What an actor is made of."""

    def __init__(self, gpu: bool, store: str, session: str) -> None:
        """`store`, `session`: see `SharedStore`; without an address files come in chunks."""
        # Ray lets an actor that has asked for no GPU see all of them.
        if not gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._address, self._session = store, session
        self._step = ""
        self._cancelled: set[str] = set()
        self._progress: tuple[float, float, str] | None = None
        self._notes: list[str] = []
        self._guard = threading.Lock()
        self._held: tuple[EngineSpec, Params] | None = None

    @functools.cached_property
    def _folder(self) -> OwnFolder:
        return OwnFolder(Path(tempfile.gettempdir()) / f"avatarctl-ray-{os.getuid()}")

    @functools.cached_property
    def _shelf(self) -> Shelf:
        return Shelf(self._folder.path / "in")

    @functools.cached_property
    def _store(self) -> SharedStore:
        return SharedStore(self._address, self._session)

    @functools.cached_property
    def _pool(self) -> EnginePool:
        return EnginePool(config.paths().models, presets.resolve().interpreter)

    def explained(self, error: Exception) -> AvatarctlError:
        """An exception that is not of our tree, in our words; see `Run`, which does it for engines of its own."""
        why = f"{type(error).__name__}: {error}"
        if disk_is_full(error):
            return Unavailable("the disk is full", why=str(error), hint="make room for temporary files there")
        if disk_fails(error):
            return Unavailable("a disk of the machine fails", why=str(error), hint=LOOK_AT_KERNEL)
        if self._held is None:
            return StepFailed("an actor failed", why=why, hint="-v shows more")
        spec, params = self._held
        if damaged := self._pool.damaged(spec, params):
            return Unavailable(f"the model {damaged} is damaged", hint=f"avatarctl models pull {damaged}")
        return StepFailed(f"{spec.stage}/{spec.name} failed", why=why, hint="-v shows more")

    # -- before a step

    @_answers
    def greet(self) -> dict[str, str]:
        """Who is here. Asked first, with nothing that depends on the version."""
        return {"version": avatarctl.__version__, "code": code_digest()}

    @_answers
    def load(self, packed: bytes, digests: Mapping[str, str]) -> float:
        """Compare the engine's weights with the driver's (`digests` by role), and load it; milliseconds.

        Raises:
            Unavailable: a package or model is missing, or a model has other bytes.
        """
        spec, params = self._held = _unpack(packed)
        here = registry.find(spec.stage, spec.name)
        if here is not None and here.cache_version != spec.cache_version:
            raise Unavailable(f"{spec.stage}/{spec.name} is of another version", hint="install the same plugins there")
        models = config.paths().models
        # What is missing is told with what to type.
        readiness.paths(spec, params, models, self._python(spec))
        found = readiness.digests(spec, params, models)
        for role, digest in digests.items():
            if found.get(role) != digest:
                raise Unavailable(f"the model {role} has other bytes than the driver's", hint="copy it from there")
        if damaged := self._pool.damaged(spec, params):
            raise Unavailable(f"the model {damaged} is damaged", hint=f"avatarctl models pull {damaged}")
        with self._pool.use(spec, params) as (_, load_ms):
            return load_ms

    @staticmethod
    def _python(spec: EngineSpec) -> str:
        return presets.resolve().interpreter(spec.name) if spec.worker else ""

    @_answers
    def missing(self, digests: list[str]) -> list[str]:
        """Inputs of the next step that have to be brought."""
        return self._shelf.missing(digests)

    @_answers
    def take(self, digest: str, offset: int, data: bytes, size: int) -> None:
        """A piece of an input."""
        self._shelf.take(digest, offset, data, size)

    @_answers
    def fetch(self, digest: str) -> None:
        """Take an input from the store."""
        self._shelf.fetch(digest, self._store)

    # -- a step

    @_answers
    def run(self, packed: bytes, step: str, inputs: Mapping[str, str], order: Mapping[str, Any]) -> Answer:
        """Perform a step. `inputs`: digests by role. `order`: key, seed and threads of the `Job`.

        Returns:
            `outputs`: digest by file name; `memory`, `device`: see `Performed`; `load_ms`, where the engine had to be
            loaded again; `told`: what it said last.
        """
        spec, params = self._held = _unpack(packed)
        with self._guard:
            self._step, self._progress, self._notes = step, None, []
        out = self._out(step)
        out.mkdir(parents=True)
        job = Job(
            inputs={role: self._shelf.path(digest) for role, digest in inputs.items()},
            out=out,
            params=params,
            progress=self._note_progress,
            note=self._note,
            cancelled=lambda: step in self._cancelled,
            **order,
        )
        with self._pool.use(spec, params) as (engine, load_ms):
            if job.cancelled():
                raise Cancelled
            engine.run(job)
            used = getattr(engine, "memory", None) or memory.report()
            device = str(getattr(engine, "device", ""))
        made = {path.name: digest_file(path) for path in sorted(out.iterdir()) if path.is_file()}
        told = self._take_told()
        return {"outputs": made, "memory": dict(used), "device": device, "load_ms": load_ms, "told": told}

    def _note_progress(self, done: float, total: float, unit: str) -> None:
        self._progress = (done, total, unit)

    def _note(self, message: str) -> None:
        with self._guard:
            self._notes.append(message)

    @_answers
    def told(self) -> Answer:
        """What the engine has said since it was last asked."""
        return self._take_told()

    def _take_told(self) -> Answer:
        with self._guard:
            told = {"progress": self._progress, "notes": self._notes}
            self._progress, self._notes = None, []
        return told

    @_answers
    def cancel(self, step: str) -> None:
        """Ask the engine to stop. It may come before the step does."""
        self._cancelled.add(step)

    # -- after a step

    def _out(self, step: str) -> Path:
        return self._folder.path / f"out-{step}"

    @_answers
    def give(self, step: str, name: str, offset: int, length: int) -> bytes:
        """A piece of a file that was made; empty after the last one."""
        with (self._out(step) / name).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    @_answers
    def put(self, step: str, name: str) -> None:
        """Put a file that was made into the store."""
        self._store.put(f"out/{step}/{name}", self._out(step) / name)

    @_answers
    def forget(self, step: str) -> None:
        """Remove what a step made."""
        import shutil

        shutil.rmtree(self._out(step), ignore_errors=True)
        self._cancelled.discard(step)

    @_answers
    def close(self) -> None:
        """End the engine, and leave no file behind."""
        self._pool.close()
        if "_folder" in self.__dict__:
            self._folder.remove()
