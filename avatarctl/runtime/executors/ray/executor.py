"""The driver's side: an executor whose engines run on the machines of a Ray cluster."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import avatarctl
from avatarctl import config
from avatarctl.engines import readiness
from avatarctl.engines.contract import EngineSpec, Job
from avatarctl.errors import Unavailable
from avatarctl.runtime.engines import instance_of
from avatarctl.runtime.executors import LOSSES, ClusterLost, MachineLost, Performed
from avatarctl.runtime.executors.local import LocalExecutor
from avatarctl.runtime.executors.ray.cluster import Cluster
from avatarctl.runtime.executors.ray.files import InChunks, ThroughStore, checked, digest_of
from avatarctl.runtime.executors.ray.host import code_digest, pack
from avatarctl.runtime.executors.ray.places import Actor, Need, Places
from avatarctl.runtime.lanes import Lanes
from avatarctl.stages.params import Params

GRACE = 5.0
"""Seconds between asking an engine to stop and killing its actor; see `engines.worker.host`."""
_ASK = 0.5
"""Seconds between two questions how far a step is."""
_WAITING = 10.0
"""Seconds after which a user is told that a step waits for an actor."""
_CLOSING = 3.0
"""Seconds for actors to remove their files before they are killed."""


class RayExecutor:
    """Heavy steps on the cluster; light ones, and those that talk to a server, on this machine.

    A light step takes less time than its files would travel. A server's address is one that this machine knows, and
    what a language model writes is streamed.
    """

    def __init__(self, local: LocalExecutor, models: Path, address: str = "", store: str = "") -> None:
        """`address`: see `Cluster`. `store`: see `SharedStore`; empty: files travel in chunks. `models`: the folder.

        Raises:
            Unavailable: Ray or its cluster is not there, or the store cannot be written.
            BadConfig: no such store.
        """
        self._local = local
        self._models = models
        self._session = uuid.uuid4().hex
        self._files = ThroughStore(store, self._session) if store else InChunks()
        self._cluster = Cluster(address)
        machines = self._cluster.machines()
        cpus, gpus = sum(int(m.cpus) for m in machines), sum(int(m.gpus) for m in machines)
        self._largest = max((int(m.cpus) for m in machines), default=1)
        self._places = Places(self._cluster.machines, self._begin, self._cluster.end)
        self._lanes = Lanes({"cpu": max(1, cpus), "gpu": max(1, gpus)})

    def _begin(self, actor: Actor) -> Any:
        return self._cluster.begin(actor, self._files.url, self._session)

    def _need(self, spec: EngineSpec, params: Params) -> Need:
        """Steps side by side on one CPU each do more than one after the other on many; but a worker may hold gigabytes,
        so it gets as many as it can use. See `LocalExecutor`.
        """
        if spec.requirements(params).lane == "gpu":
            return Need(cpus=0, gpus=1)
        return Need(cpus=max(1, min(config.threads(), self._largest)) if spec.worker else 1)

    def submit(self, work: Callable[[], None], spec: EngineSpec, params: Params, *, priority: int = 0) -> None:
        """See `Executor`."""
        if _stays(spec, params):
            self._local.submit(work, spec, params, priority=priority)
        else:
            lane = self._lanes.lane(spec.requirements(params).lane)
            lane.submit(work, affinity=instance_of(spec, params), priority=priority)

    def expect(self, spec: EngineSpec, params: Params) -> None:
        """See `Executor`. Actors load what they are made for."""
        if _stays(spec, params):
            self._local.expect(spec, params)

    def perform(self, spec: EngineSpec, job: Job, started: Callable[[], None]) -> Performed:
        """See `Executor`."""
        if _stays(spec, job.params):
            return self._local.perform(spec, job, started)
        need, began, losses = self._need(spec, job.params), False, 0

        def begin() -> None:
            nonlocal began
            began = True
            started()

        while True:
            actor = self._places.take(instance_of(spec, job.params), need, job.cancelled, job.note)
            step = _Step(self._cluster, self._files, actor, spec, job, need.cpus or config.threads())
            try:
                load_ms = step.prepare(lambda: readiness.digests(spec, job.params, self._models))
                return step.perform(begin, load_ms)
            except MachineLost as lost:
                self._places.lose(actor.machine)
                losses += 1
                if began or losses == LOSSES:
                    raise
                job.note(f"{lost.what}; another one is asked")
            except ClusterLost:
                raise
            except Unavailable as error:
                if actor.ready:
                    raise
                # Another machine may have what this one lacks; `take` says when none is left.
                self._places.refuse(actor, error)
            finally:
                self._places.give_back(actor)

    def usable(self, spec: EngineSpec, params: Params | None = None) -> bool:
        """See `Executor`. This machine is asked: a plan is to be the same wherever it is performed."""
        return self._local.usable(spec, params)

    def damaged(self, spec: EngineSpec, params: Params | None = None) -> str:
        """See `Executor`. Actors look at their own models, and say so in their errors."""
        return self._local.damaged(spec, params) if _stays(spec, params or spec.params()) else ""

    def close(self) -> None:
        """See `Executor`."""
        self._lanes.close()
        self._cluster.close_gently(self._places.all(), _CLOSING)
        self._places.close()
        self._files.close()
        self._cluster.close()
        self._local.close()


def _stays(spec: EngineSpec, params: Params) -> bool:
    """Whether a step is performed on this machine."""
    return spec.streams or spec.requirements(params).lane not in ("cpu", "gpu")


class _Step:
    """One step on one actor."""

    def __init__(
        self,
        cluster: Cluster,
        files: InChunks | ThroughStore,
        actor: Actor,
        spec: EngineSpec,
        job: Job,
        threads: int,
    ) -> None:
        self._cluster = cluster
        self._files = files
        self._actor = actor
        self._job = job
        self._threads = threads
        self._packed = pack(spec, job.params)
        self._name = uuid.uuid4().hex
        self._noted = False
        self._stopping: float | None = None
        self._asked = 0.0
        self._question: Any = None

    def prepare(self, digests: Callable[[], Mapping[str, str]]) -> float:
        """Wait for the actor; if it is new, make sure that it does what this machine would do, and load; milliseconds.

        Args:
            digests: of the engine's models on this machine, by role.

        Raises:
            Unavailable: it has other code or other models, or lacks something.
        """
        if self._actor.ready:
            return 0.0
        here = {"version": avatarctl.__version__, "code": code_digest()}
        there = self._call("greet")
        if there != here:
            raise Unavailable(
                f"the machine {self._actor.machine.name} has another avatarctl",
                why=f"{_told(there)} there, {_told(here)} here",
                hint="install the same version on every machine, and start Ray there anew",
            )
        load_ms: float = self._call("load", self._packed, dict(digests()))
        self._actor.ready = True
        return load_ms

    def perform(self, started: Callable[[], None], load_ms: float) -> Performed:
        """Bring the inputs, run, and fetch what was made."""
        digests = {role: digest_of(path) for role, path in self._job.inputs.items()}
        paths = {digest: self._job.inputs[role] for role, digest in digests.items()}
        wanted = self._call("missing", list(paths))
        self._files.bring(self._call, [(digest, paths[digest]) for digest in wanted])
        started()
        order = {"key": self._job.key, "seed": self._job.seed, "threads": self._threads}
        try:
            made = self._call("run", self._packed, self._name, digests, order, meanwhile=self._watch)
            self._pass_on(made["told"])
            for name, digest in made["outputs"].items():
                path = self._job.out / Path(name).name
                self._files.collect(self._call, self._name, path.name, path)
                checked(path, digest, name)
        finally:
            if not self._actor.gone:
                self._cluster.send(self._actor, "forget", self._name)
        return Performed(load_ms + made["load_ms"], made["memory"], made["device"], self._actor.machine.name)

    def _call(self, method: str, *arguments: Any, meanwhile: Callable[[float], bool] | None = None) -> Any:
        return self._cluster.call(self._actor, method, *arguments, meanwhile=meanwhile or self._wait)

    def _wait(self, seconds: float) -> bool:
        if seconds > _WAITING and not self._noted:
            self._noted = True
            self._job.note(f"waits for the machine {self._actor.machine.name}")
        return not self._job.cancelled()

    def _watch(self, seconds: float) -> bool:
        """While the engine runs: pass on what it says, and that it is to stop. False when it did not stop in time."""
        if self._stopping is None and self._job.cancelled():
            self._cluster.send(self._actor, "cancel", self._name)
            self._stopping = seconds
        if self._question is not None and (told := self._cluster.answered(self._question)) is not None:
            self._pass_on(told)
            self._question = None
        # One question at a time: a machine that is slow to answer is not asked the more.
        if self._question is None and seconds - self._asked >= _ASK:
            self._question, self._asked = self._cluster.send(self._actor, "told"), seconds
        return self._stopping is None or seconds - self._stopping < GRACE

    def _pass_on(self, told: Mapping[str, Any]) -> None:
        for message in told["notes"]:
            self._job.note(message)
        if told["progress"] is not None:
            self._job.progress(*told["progress"])


def _told(identity: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value[:12]}" for name, value in identity.items())
