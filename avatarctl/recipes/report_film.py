"""The film of a run as its page shows it: to play, at a glance, and what is heard when."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from avatarctl.errors import AvatarctlError
from avatarctl.pages.elements import data_uri
from avatarctl.pages.model import FilmView, Spoken, Still
from avatarctl.store import deliver
from avatarctl.store.model import Artefact, RunRecord, StepRecord
from avatarctl.store.store import Store
from avatarctl.text.timings import Timings

STILLS = 12
STILL_WIDTH = 240
WAVE_POINTS = 700
_MP4 = "video/mp4"


@dataclass(frozen=True)
class Found:
    """A film's bytes, wherever they are."""

    path: Path
    digest: str
    size: int
    delivered: Path | None
    """Where the user has it, if it is still what was put there."""


def find(store: Store, run: RunRecord, finish: StepRecord | None = None) -> Found | None:
    """The film that a run delivered, or at least finished (`finish`); None when it is nowhere any more."""
    wanted = [(o["digest"], Path(o["path"])) for o in run.outputs if o["path"].endswith(".mp4")]
    manifest = store.ledger.find_action(finish.key) if finish is not None else None
    made = manifest.outputs.get("film") if manifest is not None else None
    if not wanted and made is not None:
        wanted = [(made.digest, Path())]
    for digest, place in wanted:
        size = _size(place)
        there = place if size and deliver.holds(place, Artefact(digest, size, _MP4)) else None
        if (kept := store.artefact(digest)) is not None:
            return Found(store.cas.path(digest), digest, kept.size, there)
        if there is not None:
            return Found(there, digest, size, there)
    return None


def of_run(store: Store, run: RunRecord, finish: StepRecord | None, page: Path, embed_bytes: int) -> FilmView | None:
    """The film for the page at `page`; None for a run that made none."""
    made_film = finish is not None or any(o["path"].endswith(".mp4") for o in run.outputs)
    if not made_film:
        return None
    found = find(store, run, finish)
    if found is None:
        again = f"avatarctl replay {run.id}"
        return FilmView(
            source="", embedded=False, duration=0.0, width=0, height=0, fps=0.0, size=0,
            remark=f"The film is neither in the cache nor where it was delivered: {again} makes it again.",
        )  # fmt: skip
    facts = _facts(store, found)
    duration = float(facts.get("duration", 0.0))
    embedded = found.size <= embed_bytes
    source, remark = "", ""
    if embedded:
        source = data_uri(found.path.read_bytes(), _MP4)
    elif found.delivered is not None:
        source = link(page, found.delivered)
        remark = "The film is too large to be put into this page. It lies beside it: give both away together."
    else:
        remark = f"The film is too large to be put into this page, and was moved away: avatarctl replay {run.id}"
    spoken, language = _spoken(store, finish)
    return FilmView(
        source=source,
        embedded=embedded,
        remark=remark,
        duration=duration,
        width=int(facts.get("width", 0)),
        height=int(facts.get("height", 0)),
        fps=float(facts.get("fps", 0.0)),
        size=found.size,
        stills=_stills(found.path, duration),
        wave=_wave(found.path, duration),
        spoken=spoken,
        language=language,
    )


def link(page: Path, target: Path) -> str:
    """A relative address, from a page's folder to a file; empty when the file is not there.

    Every character with a meaning is escaped, so that no name becomes another kind of address.
    """
    if not _size(target):
        return ""
    way = os.path.relpath(target.absolute(), page.absolute().parent)
    return "./" + quote(os.fsencode(way))


def _size(path: Path) -> int:
    """Bytes of a regular file; 0 if it is none."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except (OSError, ValueError):
        return 0


def _facts(store: Store, found: Found) -> Mapping[str, Any]:
    """Length and shape as they were measured when the film was made, or by its own header."""
    for key in store.ledger.made_by(found.digest):
        manifest = store.ledger.find_action(key)
        if manifest is not None and "duration" in manifest.facts:
            return manifest.facts
    from avatarctl.media import ffmpeg, probe

    try:
        header = probe.header(found.path, ffmpeg.FILM_FORMATS, what="the film cannot be looked at")
    except AvatarctlError:
        return {}
    return {"duration": header.duration or 0.0}


def thumbnail(film: Path, width: int) -> bytes:
    """A film's first picture; empty when it has none."""
    from avatarctl.media import glance

    try:
        return glance.still(film, 0.0, width)
    except AvatarctlError:
        return b""


def _stills(film: Path, duration: float) -> list[Still]:
    """Evenly over the film, the first and the last a little inside it."""
    from avatarctl.media import glance

    count = STILLS if duration >= STILLS / 4 else max(1, int(duration * 4))
    found = []
    for i in range(count):
        at = duration * (i + 0.5) / count
        try:
            found.append(Still(seconds=at, jpeg=glance.still(film, at, STILL_WIDTH)))
        except AvatarctlError:
            break
    return found


def _wave(film: Path, duration: float) -> list[float]:
    from avatarctl.media import glance

    try:
        return [round(float(peak), 3) for peak in glance.loudness(film, duration, WAVE_POINTS)]
    except AvatarctlError:
        return []


def _spoken(store: Store, finish: StepRecord | None) -> tuple[list[Spoken], str]:
    """Every sentence with its place in the film, and the language of the first; none where that is not known."""
    if finish is None:
        return [], ""
    found: list[Spoken] = []
    language = ""
    start = 0.0
    for name in sorted(role for role in finish.inputs if role.startswith("clip.")):
        length = _clip_seconds(store, finish.inputs[name])
        timings = _timings(store, finish.inputs.get(f"timings.{name.removeprefix('clip.')}", ""))
        if timings is not None:
            language = language or timings.language
            found += [Spoken(start=start + s.start, end=start + s.end, text=s.text) for s in timings.sentences]
        if length is None:
            break
        start += length
    return found, language


def _clip_seconds(store: Store, digest: str) -> float | None:
    for key in store.ledger.made_by(digest):
        manifest = store.ledger.find_action(key)
        if manifest is not None and manifest.facts.get("frames") and manifest.facts.get("fps"):
            return float(manifest.facts["frames"]) / float(manifest.facts["fps"])
    return None


def _timings(store: Store, digest: str) -> Timings | None:
    if not digest:
        return None
    try:
        return Timings.read(store.cas.path(digest))
    except (OSError, ValueError):
        return None
