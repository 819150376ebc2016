"""A run from its first line in the ledger to its last: opened, performed, ended, whatever happens between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avatarctl import config, files
from avatarctl.engines.contract import Cancelled
from avatarctl.errors import AvatarctlError, Stopped, Unavailable
from avatarctl.presets import Settings
from avatarctl.runtime import events
from avatarctl.runtime.dryrun import DryRun
from avatarctl.runtime.executors import Executor
from avatarctl.runtime.runner import Run
from avatarctl.store.model import Artefact, RunRecord, new_id, now
from avatarctl.store.store import Store


def open_store(*, readonly: bool = False) -> Store:
    """The store of this installation."""
    return Store.open(config.paths().data, readonly=readonly, lock_timeout=config.lock_timeout())


@contextmanager
def performing(
    store: Store,
    recipe: str,
    request: dict[str, Any],
    settings: Settings,
    *,
    listener: events.Listener = events.silent,
    seed: int = 0,
    take: int = 0,
    refresh_from: str | None = None,
    executor: Executor | None = None,
    priority: int = 0,
) -> Iterator[Run]:
    """A run under way. Its ending, good or bad, is written to the ledger; errors go on to the caller.

    `executor`, `priority`: see `Run`.
    """
    record = RunRecord(
        id=new_id(),
        recipe=recipe,
        status="running",
        started=now(),
        request=request,
        settings={**settings.as_dict(), "seed": seed, "take": take},
    )
    run = Run(
        store,
        settings,
        run_id=record.id,
        listener=listener,
        seed=seed,
        take=take,
        refresh_from=refresh_from,
        executor=executor,
        priority=priority,
    )
    with store.run_lock(record.id):
        store.ledger.start_run(record)
        try:
            with run:
                yield run
        except BaseException as error:
            stopped = isinstance(error, Stopped | KeyboardInterrupt | Cancelled)
            code = error.code if isinstance(error, AvatarctlError | Stopped) else type(error).__name__
            status = "stopped" if stopped else "failed"
            store.ledger.finish_run(record.id, status, error=f"{code}: {error}", outputs=run.delivered)
            raise
        store.ledger.finish_run(record.id, "done", outputs=run.delivered)


def planning(
    store: Store, settings: Settings, *, seed: int = 0, take: int = 0, refresh_from: str | None = None
) -> DryRun:
    """A run that does nothing but plan."""
    return DryRun(store, settings, seed=seed, take=take, refresh_from=refresh_from)


def check_writable(destination: Path, option: str = "--out") -> None:
    """Find out before any work is done whether a result can be written there. `option` says where else.

    Raises:
        Unavailable: the folder cannot be made or written.
    """
    import os

    folder = destination.parent
    try:
        files.in_time(folder, lambda: folder.mkdir(parents=True, exist_ok=True), folder=folder)
    except OSError as error:
        raise Unavailable(
            f"the folder {folder} cannot be made",
            why=error.strerror or str(error),
            hint=f"choose another with {option}",
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Unavailable(f"the folder {folder} cannot be written", hint=f"choose another with {option}")
    if destination.is_dir():
        raise Unavailable(f"{destination} is a folder", hint=f"give a file name with {option}")


def deliver(run: Run, artefact: Artefact, destination: Path, role: str) -> Path:
    """Copy a result to where the user wants it, whole or not at all, and remember it with the run.

    Raises:
        Unavailable: it cannot be written there, or the disk there does not answer.
    """
    # That it did when the run began may be hours ago.
    files.in_time(destination, destination.parent.is_dir)
    run.store.deliver(artefact, destination)
    run.delivered.append({"path": str(destination.absolute()), "digest": artefact.digest, "role": role})
    return destination
