"""What can be known before work begins: what would fail, and of a batch how long it takes and how much room it needs.

Nothing is performed and nothing is written. Each distinct setting, person and file of a batch is looked at once, so
that one of ten thousand jobs costs little more than one of ten.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from avatarctl import config, files, presets
from avatarctl.errors import AvatarctlError, Unavailable
from avatarctl.files import readable_file
from avatarctl.jobs import Job, Problem
from avatarctl.presets import Settings
from avatarctl.recipes import answers, exports, jobs
from avatarctl.recipes.enroll import MAX_SAMPLE_BYTES
from avatarctl.runtime import dryrun, session
from avatarctl.runtime.external import ExternalDigests
from avatarctl.runtime.runner import Run
from avatarctl.stages.params import Params
from avatarctl.store.model import AvatarRecord
from avatarctl.store.store import Store

_LETTERS_A_SECOND = 14.0
"""Of speech at the usual rate, Russian and English alike; read aloud by espeak-ng at its default."""
_ANSWER_SECONDS = 15.0
"""Of a film whose answer is not known yet."""
_BYTES_A_PIXEL_SECOND = 1.2
"""Of everything that is kept for a film (speech, clips, the film, its copy): 512 px and 25 fps take 0.3 MB/s."""


@dataclass(frozen=True)
class Finding:
    """A job that would fail, and why. `error` has the exit code."""

    job: Job
    error: AvatarctlError

    def problem(self) -> Problem:
        """As a line of the job file."""
        what = f"{self.error.what} ({self.error.why})" if self.error.why else self.error.what
        return Problem(self.job.file, self.job.line, f"{self.job.name}: {what}", self.error.hint)


@dataclass
class Report:
    """What was found. `seconds`: expected time from beginning to end, from this machine's history; None where it has
    none. `media_seconds`: expected length of all films."""

    findings: list[Finding] = field(default_factory=list)
    jobs: int = 0
    media_seconds: float = 0.0
    seconds: float | None = None
    bytes_needed: int = 0
    bytes_free: int = 0

    def fault(self) -> AvatarctlError:
        """The first finding as an error: with its line, and how many there are besides."""
        first, others = self.findings[0], len(self.findings) - 1
        error, problem = first.error, first.problem()
        error.what, error.hint = f"{problem.file}:{problem.line}: {problem.message}", problem.hint
        error.why = f"and {others} more" if others else ""
        return error

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "jobs": self.jobs,
            "problems": [finding.problem().as_dict() for finding in self.findings],
            "media_seconds": round(self.media_seconds, 1),
            "estimated_seconds": None if self.seconds is None else round(self.seconds, 1),
            "bytes_needed": self.bytes_needed,
            "bytes_free": self.bytes_free,
        }


def look(store: Store, wanted: Sequence[Job], folders: Mapping[str, Path]) -> Report:
    """Look at every job.

    Args:
        folders: of the results, by job file.
    """
    return _Preflight(store).report(wanted, folders)


def look_ahead(store: Store, settings: Settings, walk: Callable[[Run], object], options: Mapping[str, Any]) -> None:
    """Of a single run: raise what it would fail with for want of an engine, a model, a key or the user's leave.

    Only steps that are not kept already count. Where all engines of the settings are ready, none is looked at.

    Args:
        walk: the recipe.
        options: of the run; see `session.planning`.
    """
    stages = dict.fromkeys([*settings.tables, *presets.FOLLOWING])
    if not any(
        _unable(settings, stage) for stage in stages if stage not in presets.FOLLOWING or settings.prepares(stage)
    ):
        return
    plan = session.planning(store, settings, **options)
    walk(plan)
    if plan.faults:
        raise _together(plan.faults)


def look_ahead_of(store: Store, job: Job, settings: Settings, avatar: AvatarRecord, said: str) -> None:
    """The same of a job."""
    seed = config.seed() if job.seed is None else job.seed
    options = {"seed": seed, "take": job.take}
    look_ahead(store, settings, lambda plan: jobs.ask_for(plan, job, avatar, said, {}), options)


def _together(faults: Sequence[AvatarctlError]) -> AvatarctlError:
    """One error that says all that is missing, and all that is to be done."""
    first, *others = {fault.what: fault for fault in faults}.values()
    first.why = "; ".join(filter(None, [first.why, *(f"and {other.what}" for other in others)]))
    hints = list(dict.fromkeys(fault.hint for fault in (first, *others) if fault.hint))
    # Of two stages of one engine the one often wants a model more than the other.
    longest = [one for one in hints if not any(other != one and other.startswith(one) for other in hints)]
    first.hint = "; then ".join(longest)
    return first


class _Preflight:
    """Remembers what it found: by settings and person, by recording."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._choices: dict[tuple[Any, ...], _Choice | AvatarctlError] = {}
        self._missing: dict[tuple[Any, ...], AvatarctlError | None] = {}
        self._silent: dict[tuple[Any, ...], AvatarctlError | None] = {}
        self._servers: dict[tuple[str, str, Params], Mapping[str, str] | AvatarctlError] = {}
        self._recordings: dict[str, float | AvatarctlError] = {}
        self._avatars: dict[str, AvatarRecord | AvatarctlError] = {}
        self._histories: dict[tuple[str, str], tuple[float | None, bool]] = {}

    def report(self, wanted: Sequence[Job], folders: Mapping[str, Path]) -> Report:
        report = Report(jobs=len(wanted))
        side_by_side = max(1, min(config.threads(), len(wanted)))
        cores, others = 0.0, 0.0
        known = True
        closed = {file: _closed(folder) for file, folder in folders.items()}
        for job in wanted:
            try:
                choice, length = self._look_at(job)
                if (fault := closed[job.file]) is not None:
                    raise fault
            except AvatarctlError as error:
                report.findings.append(Finding(job, error))
                continue
            report.media_seconds += length
            if choice.rate is None:
                known = False
            else:
                cores += (choice.rate.shared / side_by_side + choice.rate.whole) * length
                others += choice.rate.elsewhere * length
            report.bytes_needed += int(length * choice.pixels * _BYTES_A_PIXEL_SECOND)
        report.seconds = max(cores, others) if known else None
        places = [*(folder for file, folder in folders.items() if closed[file] is None), self._store.cache]
        report.bytes_free = min(shutil.disk_usage(_existing(place)).free for place in places)
        if wanted and report.bytes_needed > report.bytes_free:
            full = Unavailable(
                f"the films may need {report.bytes_needed / 1e6:.0f} MB, and {report.bytes_free / 1e6:.0f} MB are free",
                hint="make room, or run avatarctl cache gc",
            )
            report.findings.append(Finding(wanted[0], full))
        return report

    def _look_at(self, job: Job) -> tuple[_Choice, float]:
        """Its settings, and the expected seconds of film. Raises what the job would fail with."""
        key = (job.preset, job.settings, job.emotion, job.aspect, job.background, job.avatar)
        if key not in self._choices:
            self._choices[key] = _caught(lambda: self._choose(job))
        choice = _or_raise(self._choices[key])
        exports.checked(job.exports)
        kinds = (*key, bool(job.question), bool(job.audio), job.idle is not None)
        if kinds not in self._missing:
            self._missing[kinds] = _missing(choice.settings, job)
            self._silent[kinds] = _caught(lambda: self._ask_servers(choice.settings, job))
        said = jobs.spoken_text(job)
        if self._missing[kinds] is not None and (fault := self._fault(job, choice, said)):
            raise fault
        _or_raise(self._silent[kinds])
        if job.audio:
            if job.audio not in self._recordings:
                self._recordings[job.audio] = _caught(lambda: _length(Path(job.audio)))
            return choice, _or_raise(self._recordings[job.audio])
        if job.idle is not None:
            return choice, job.idle
        return choice, _ANSWER_SECONDS if job.question else max(len(said) / _LETTERS_A_SECOND, 1.0)

    def _ask_servers(self, settings: Settings, job: Job) -> None:
        """Raises what servers say whose models the job uses, or that there is none: without them no step is named."""
        for stage in _stages(settings, job):
            chosen = settings.choice(stage, presets.every_role(stage))
            key = (stage, chosen.spec.name, chosen.params)
            if chosen.spec.external and key not in self._servers:
                self._servers[key] = _caught(partial(ExternalDigests().of, chosen.spec, chosen.params))
            _or_raise(self._servers.get(key, {}))

    def _fault(self, job: Job, choice: _Choice, said: str) -> AvatarctlError | None:
        """Why a step of the job that is not kept already could not be performed."""
        try:
            look_ahead_of(self._store, job, choice.settings, choice.avatar, said)
        except AvatarctlError as error:
            return error
        return None

    def _choose(self, job: Job) -> _Choice:
        settings = jobs.settings_of(job)
        name = job.avatar or settings.avatar
        if name not in self._avatars:
            self._avatars[name] = _caught(lambda: self._find(job, settings))
        avatar = _or_raise(self._avatars[name])
        film: Any = settings.choice("animate").params
        return _Choice(settings, avatar, self._rate(settings), film.size * film.size)

    def _find(self, job: Job, settings: Settings) -> AvatarRecord:
        avatar = jobs.avatar_of(job, self._store, settings)
        if any(self._store.artefact(digest) is None for digest in avatar.files()):
            raise Unavailable(f"a file of the avatar {avatar.name} is gone", hint="enrol the person again")
        return avatar

    def _rate(self, settings: Settings) -> _Rate | None:
        rates = {"shared": 0.0, "whole": 0.0, "elsewhere": 0.0}
        for stage in ("speak", "animate", "finish", "check"):
            choice = settings.choice(stage, presets.every_role(stage))
            wanted = choice.spec.requirements(choice.params)
            engine = stage, choice.spec.name
            if engine not in self._histories:
                self._histories[engine] = self._seconds_of(*engine)
            seconds, alone = self._histories[engine]
            if seconds is None:
                if stage == "animate":
                    return None
                continue
            where = "elsewhere"
            if wanted.lane == "light":
                where = "shared"
            elif wanted.lane == "cpu":
                # A step of a single command, and a worker, have all cores to themselves.
                where = "whole" if alone or choice.spec.worker else "shared"
            rates[where] += seconds
        return _Rate(**rates)

    def _seconds_of(self, stage: str, engine: str) -> tuple[float | None, bool]:
        """Of work for a second of film; and whether that was measured outside batches, which know it better."""
        for of_jobs in (True, False):
            history = self._store.ledger.history(stage, engine, of_jobs=of_jobs)
            lengths = [(ms, _seconds(facts)) for ms, facts in history]
            length = sum(seconds for _, seconds in lengths)
            if length:
                return sum(ms for ms, seconds in lengths if seconds) / 1000 / length, not of_jobs
        return None, True


@dataclass(frozen=True)
class _Rate:
    """Seconds of work for a second of film, from the ledger: on one core, with as many films beside it as there are
    cores; on all cores; and on a GPU or a server, while the cores do something else."""

    shared: float
    whole: float
    elsewhere: float


@dataclass(frozen=True)
class _Choice:
    """Settings that some jobs share."""

    settings: Settings
    avatar: AvatarRecord
    rate: _Rate | None
    """None without a history of the animator."""
    pixels: int
    """Of a picture."""


T = TypeVar("T")


def _caught(look: Callable[[], T]) -> T | AvatarctlError:
    try:
        return look()
    except AvatarctlError as error:
        return error


def _or_raise(found: T | AvatarctlError) -> T:
    if isinstance(found, AvatarctlError):
        raise found
    return found


def _missing(settings: Settings, job: Job) -> AvatarctlError | None:
    """Why an engine that the job needs could not start; None if all can."""
    return next((found for stage in _stages(settings, job) if (found := _unable(settings, stage))), None)


def _unable(settings: Settings, stage: str) -> AvatarctlError | None:
    try:
        chosen = settings.choice(stage, presets.every_role(stage))
    except AvatarctlError as error:
        return error
    return dryrun.unable(chosen.spec, chosen.params, settings, config.paths().models)


def _length(path: Path) -> float:
    """Seconds of a recording, by its header; 0 where that does not tell."""
    from avatarctl.media import audio

    readable_file(path, MAX_SAMPLE_BYTES * 4, "recording")
    return audio.survey(path, answers.MAX_RECORDING_SECONDS, f"recording {path.name}").duration or 0.0


def _stages(settings: Settings, job: Job) -> Iterator[str]:
    if job.question:
        yield "answer"
    if job.audio:
        yield "align"
    elif job.idle is None:
        yield "speak"
    yield "animate"
    if settings.choice("upscale").params.scale != 1:  # type: ignore[attr-defined]
        yield "upscale"
    yield "finish"


def _seconds(facts: Mapping[str, Any]) -> float:
    """Length of what a step made."""
    if facts.get("duration"):
        return float(facts["duration"])
    return float(facts["frames"]) / float(facts["fps"]) if facts.get("fps") and facts.get("frames") else 0.0


def _closed(folder: Path) -> Unavailable | None:
    """Why nothing could be written into a folder that may not be there yet; None if it could."""
    try:
        why = files.in_time(folder, lambda: _why_closed(_existing(folder)), folder=folder)
    except Unavailable as error:
        return error
    if not why:
        return None
    return Unavailable(f"nothing can be written into {folder}", why=why, hint="choose another folder with --out")


def _why_closed(there: Path) -> str:
    if not there.is_dir():
        return f"{there} is no folder"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} cannot be written"


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
