"""What the pages show, as plain records. Times are seconds, sizes bytes; pictures are JPEG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """A picture of a film, and when it is seen."""

    seconds: float
    jpeg: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A sentence and when it is heard, from the film's beginning."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmView:
    """A film to look at and listen to."""

    source: str
    """A `data:` address, a relative one, or empty when there is nothing to play."""
    embedded: bool
    remark: str = ""
    """Why it is linked, or not there."""
    duration: float
    width: int
    height: int
    fps: float
    size: int
    stills: Sequence[Still] = ()
    wave: Sequence[float] = ()
    """Peaks of equal stretches of the film, 0..1; empty when nothing is to be heard."""
    spoken: Sequence[Spoken] = ()
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """A step on the run's own clock: it queued from `began`, then loaded, then ran."""

    index: int
    stage: str
    engine: str
    label: str
    status: str
    began: float
    queue: float
    load: float
    run: float
    size: int
    device: str
    memory_mb: float
    key: str
    error: str = ""
    error_code: str = ""

    @property
    def end(self) -> float:
        """When it was over."""
        return self.began + self.queue + self.load + self.run


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit of the preset. `least`: the figure may not be below it; otherwise, not above."""

    bound: float
    least: bool
    broken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an answer comes from."""

    document: str
    heading: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A file that was put somewhere. `link`: from the page to it, empty when it is not there any more."""

    role: str
    name: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """All that the page of a run shows."""

    id: str
    recipe: str
    status: str
    """As in the ledger, or `rejected`: the film breaks a limit."""
    title: str
    language: str
    started: str
    seconds: float
    """From the first line to the last; so far, where it still runs."""
    question: str = ""
    text: str = ""
    """What was answered, or what was given to be said."""
    text_language: str = ""
    sources: Sequence[Source] = ()
    error: str = ""
    avatar: str = ""
    portrait: bytes = b""
    preset: str = ""
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    seed: int = 0
    take: int = 0
    film: FilmView | None = None
    steps: Sequence[StepView] = ()
    steps_left_out: int = 0
    figures: Mapping[str, float | None] = field(default_factory=dict)
    limits: Mapping[str, Sequence[Limit]] = field(default_factory=dict)
    """By the figure's name."""
    delivered: Sequence[Delivered] = ()
    made_by: str = ""
    """Name and version of the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job, a row of a batch's page."""

    position: int
    name: str
    about: str
    language: str
    status: str
    """`cached` is a `done` for which nothing had to be made."""
    attempt: int
    began: float | None
    """Seconds since the first job began; None where it has not ended yet."""
    seconds: float
    """From its beginning to its end; others were under way at the same time."""
    worked: float
    """Seconds of engines' work in its run."""
    media_seconds: float
    link: str
    thumbnail: bytes
    error: str
    error_code: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkView:
    """What one engine did for a batch."""

    stage: str
    engine: str
    made: int
    hits: int
    failed: int
    queue: float
    load: float
    run: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchView:
    """All that the page of a batch shows."""

    id: str
    name: str
    """The job file's."""
    state: str
    round: int
    created: str
    jobs: Sequence[JobView]
    busy: float
    """Seconds in which at least one job was under way."""
    span: float
    """Seconds from the first beginning to the last end."""
    work: Sequence[WorkView]
    thumbnails_left_out: int = 0
    made_by: str = ""
