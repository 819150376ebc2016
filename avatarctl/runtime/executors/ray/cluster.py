"""The connection to Ray: which machines there are, how an actor begins and ends, and how one is called.

What holds: stdout stays the caller's; the handlers of signals stay the caller's; nothing is reported to anybody; a
cluster of our own listens on this machine only, and ends with us.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from avatarctl import config
from avatarctl.engines.contract import Cancelled
from avatarctl.engines.worker import protocol
from avatarctl.engines.worker.host import WorkerTrace
from avatarctl.errors import Offline, StepFailed, Unavailable
from avatarctl.runtime.executors import MachineLost
from avatarctl.runtime.executors.ray import manners
from avatarctl.runtime.executors.ray.head import REACHABLE, Head, answers, speaks
from avatarctl.runtime.executors.ray.host import Host
from avatarctl.runtime.executors.ray.places import Actor, Machine

LOOK = 0.2
"""Seconds between two looks whether somebody was cancelled."""
OBJECT_STORE = 256 << 20
"""Bytes, of a cluster of our own: only chunks of files pass through it."""
STARTING = 180.0
"""Seconds that a cluster of our own may take to start. It takes ten, where nothing else is at work."""
ANSWERING = 60.0
"""The same for one that is there. Ray itself tries for many minutes."""
_KILLED = 2.0
"""Seconds to wait until an actor is known to be killed."""
_MOST_PORT = 65535
_CALLS = 4
"""Methods of an actor that may be under way at a time: a step, what is asked of it meanwhile, its end."""


class Cluster:
    """This process's part in a Ray cluster."""

    def __init__(self, address: str) -> None:
        """`address` of the cluster (`host:port`, or `auto` for one that runs here); empty: one of our own.

        Raises:
            Unavailable: Ray is not installed, or the cluster does not answer, or is of another version.
        """
        if address not in ("", "auto"):
            _check_address(address)
        # They have to stand there before ray is imported.
        os.environ |= manners.SILENT if address else manners.SILENT | manners.LOOPBACK
        try:
            import ray
            from ray import exceptions
        except ImportError as error:
            raise Unavailable("Ray is not installed", why=str(error), hint="pip install 'avatarctl[ray]'") from error
        self._ray: Any = ray
        self._errors: Any = exceptions
        self._ours = not ray.is_initialized()
        if self._ours:
            self._streams = manners.StdoutKept()
            self._thread = manners.StartThread()
            patience = ANSWERING if address else STARTING
            try:
                self._thread.start(lambda: self._connect(address), patience)
                if self._thread.is_starting:
                    raise _not_started(address, f"it has not answered for {patience:g} s")
            except BaseException:
                self._leave()
                raise
        self._head = Head(ray.get_runtime_context().gcs_address, ray.nodes)
        # One for all: to make another one waits for the head.
        self._kind: Any = ray.remote(max_concurrency=_CALLS, max_restarts=0)(Host)

    def _connect(self, address: str) -> None:
        own = {"object_store_memory": OBJECT_STORE}
        try:
            self._ray.init(
                address=address or "local",
                namespace=f"avatarctl-{uuid.uuid4().hex}",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level="ERROR",
                **({} if address else own),
            )
        except Exception as error:
            # Its errors have no common class: wrong versions, no server, a full disk.
            why = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise _not_started(address, why) from error

    def machines(self) -> list[Machine]:
        """Those that live, as far as Ray knows; none while the head does not answer.

        Raises:
            ClusterLost: it has not answered for too long.
        """
        return [_machine(node) for node in self._head.nodes() if node["Alive"]]

    def begin(self, actor: Actor, store: str, session: str) -> Any:
        """Have an actor made on its machine; it holds its CPUs, or its GPU, from when it is there."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        placed = self._kind.options(
            num_cpus=actor.need.cpus,
            num_gpus=actor.need.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(actor.machine.id, soft=False),
        )
        return placed.remote(actor.need.gpus > 0, store, session)

    def end(self, actor: Actor) -> None:
        """Kill an actor, with all that it started. Without a head it ends when its machine notices that."""

        def kill() -> None:
            with suppress(self._errors.RayError, ValueError):
                self._ray.kill(actor.handle)

        if not self._head.is_silent():
            # It waits for the head, for as long as Ray does.
            thread = threading.Thread(target=kill, daemon=True)
            thread.start()
            thread.join(_KILLED)

    def close_gently(self, actors: list[Actor], seconds: float) -> None:
        """Let actors end their engines and remove their files, within so many seconds."""
        with suppress(self._errors.RayError, ValueError):
            calls = [actor.handle.close.remote() for actor in actors]
            if calls:
                self._ray.wait(calls, num_returns=len(calls), timeout=seconds)

    def close(self) -> None:
        """Leave the cluster; one of our own ends."""
        self._head.close()
        self._leave()

    def _leave(self) -> None:
        if self._ours:
            if not self._thread.is_starting:
                self._ray.shutdown()
            self._streams.give_back()
            self._thread.end()

    def send(self, actor: Actor, method: str, *arguments: Any) -> Any:
        """Call a method of an actor; what `answered` takes."""
        return getattr(actor.handle, method).remote(*arguments)

    def answered(self, call: Any) -> Any:
        """The result of a call, if it is there already and nothing went wrong; else None."""
        if not self._ray.wait([call], timeout=0)[0]:
            return None
        with suppress(self._errors.RayError):
            return self._ray.get(call).get("result")
        return None

    def call(self, actor: Actor, method: str, *arguments: Any, meanwhile: Callable[[float], bool]) -> Any:
        """Call a method of an actor and wait for its answer.

        Args:
            meanwhile: asked again and again, with the seconds since the call; once it is false, the actor is given up.

        Raises:
            Cancelled: the engine said so, or the actor was given up.
            ClusterLost: the cluster's head is gone.
            MachineLost: its machine is gone.
            StepFailed: its process is gone.
            AvatarctlError: what the method raised.
        """
        begun = time.monotonic()
        try:
            call = self.send(actor, method, *arguments)
            while not self._ray.wait([call], timeout=LOOK)[0]:
                self._head.check()
                if not meanwhile(time.monotonic() - begun):
                    actor.gone = True
                    raise Cancelled
            answer = self._ray.get(call)
        except self._errors.RayError as error:
            actor.gone = True
            raise self._explained(actor, error) from error
        if "error" in answer:
            raise _error(answer["error"], actor.machine.name)
        return answer["result"]

    def _explained(self, actor: Actor, error: Exception) -> Exception:
        where, lines = actor.machine.name, [line.strip() for line in str(error).splitlines() if line.strip()]
        why = lines[-1] if lines else type(error).__name__
        if self._is_lost(actor.machine):
            return MachineLost(f"the machine {where} was lost", hint="try again; ray status shows what is left")
        if "No module named" in str(error) or getattr(error, "actor_init_failed", False):
            hint = f"install avatarctl[ray] and its plugins on {where}, for the Python that runs Ray there"
            return Unavailable(f"avatarctl cannot be used on {where}", why=why, hint=hint)
        died = StepFailed(f"the worker of {actor.engine} died on {where}", why=why, hint="try again")
        died.__cause__ = error
        return died

    def _is_lost(self, machine: Machine) -> bool:
        """Whether a machine takes no part any more: it is gone, which Ray needs half a minute to be sure of, or Ray
        takes it for gone, since it was too busy to answer for as long.
        """
        if not answers(machine.address, machine.port):
            return True
        return machine.id not in {node["NodeID"] for node in self._head.nodes_now() if node["Alive"]}


def _error(told: dict[str, str], where: str) -> Exception:
    """The exception that an answer stands for, of the class that it had there."""
    if told["code"] == "cancelled":
        return Cancelled()
    hint = told["hint"]
    error = protocol.error_of(told["code"], told["what"], told["why"], hint)
    if isinstance(error, Unavailable):
        # What to do is to be done over there.
        error.hint = f"on {where}: {hint}" if hint else f"look at {where}"
    error.__cause__ = WorkerTrace(told["detail"])
    return error


def _not_started(address: str, why: str) -> Unavailable:
    hint = "look at `ray status` there, and at [ray] address" if address else "-v shows more"
    return Unavailable(f"Ray does not start{' at ' + address if address else ''}", why=why, hint=hint)


def _machine(node: dict[str, Any]) -> Machine:
    resources = node["Resources"]
    return Machine(
        id=str(node["NodeID"]),
        name=str(node["NodeManagerHostname"]),
        address=str(node["NodeManagerAddress"]),
        port=int(node["NodeManagerPort"]),
        cpus=float(resources.get("CPU", 0)),
        gpus=float(resources.get("GPU", 0)),
    )


def _check_address(address: str) -> None:
    """Ask before Ray does, which takes minutes to give up."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _MOST_PORT or "/" in host:
        raise Unavailable(f"[ray] address {address} is not understood", hint='write "host:6379", or "auto"')
    if config.offline() and not _is_here(host):
        raise Offline(f"the Ray cluster {address} is on another machine", hint="unset AVATARCTL_OFFLINE")
    try:
        socket.create_connection((host, int(port)), timeout=REACHABLE).close()
    except OSError as error:
        raise Unavailable(
            f"the Ray cluster {address} does not answer",
            why=error.strerror or str(error),
            hint="ray start --head there, or set [ray] address",
        ) from error
    # With TLS, which Ray takes from the environment, nothing is said before certificates are exchanged.
    if os.environ.get("RAY_USE_TLS", "0") in ("", "0") and (why := speaks(host, int(port))):
        raise Unavailable(
            f"what answers at {address} is no Ray cluster, or it is stuck",
            why=why,
            hint="look at `ray status` there, and at [ray] address: it is the port of `ray start --head`, usually 6379",
        )


def _is_here(host: str) -> bool:
    """Whether it is an address of this machine."""
    try:
        with socket.socket() as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
