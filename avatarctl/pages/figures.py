"""The figures of the stage `check`, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from avatarctl.pages.elements import h
from avatarctl.pages.model import Limit
from avatarctl.pages.parts import card


@dataclass(frozen=True, slots=True)
class _Figure:
    name: str
    title: str
    form: str
    meaning: str
    factor: float = 1.0


# The first are shown large.
_MAIN = (
    _Figure("sync", "Mouth follows the sound", "r = {:.2f}", "the mouth that is seen with the one the sound calls for"),
    _Figure("lag_ms", "Sound against picture", "{:+.0f} ms", "below zero, the picture is late"),
    _Figure("closures", "Lips meet on p, b, m", "{:.0f} %", "of the sounds at which they have to", 100),
    _Figure("blinks_per_minute", "Blinks", "{:.0f} a minute", "people blink 10 to 20 times"),
    _Figure("sharpness", "Sharpness holds", "{:.2f}", "faintest over clearest detail of the face; 1 is steady"),
    _Figure("background_db", "Background stands still", "{:.0f} dB", "likeness with the first picture; 60 is perfect"),
    _Figure("flicker", "Flicker", "{:.2f}", "jumps of the face's light, in levels of 255"),
    _Figure("lufs", "Loudness", "{:.1f} LUFS", "films on the web are near -16"),
)
_OTHER = (
    _Figure("as_intended", "Mouth as the animator meant it", "r = {:.2f}", ""),
    _Figure("blinks_as_intended", "Eyes as the animator meant them", "r = {:.2f}", ""),
    _Figure("silence_motion", "Lips in pauses, against speech", "{:.2f}", ""),
    _Figure("face", "Pictures with a face", "{:.0f} %", "", 100),
    _Figure("eyes", "Pictures with an open eye", "{:.0f} %", "", 100),
    _Figure("background_min_db", "Background, worst picture", "{:.0f} dB", ""),
    _Figure("background_flicker", "Flicker of the background", "{:.3f}", ""),
    _Figure("peak_db", "Highest peak", "{:.1f} dBFS", ""),
    _Figure("clipped", "Clipped samples", "{:.2f} %", "", 100),
    _Figure("sound_shift_ms", "Sound late by", "{:+.1f} ms", ""),
    _Figure("length_difference", "Sound longer than picture by", "{:+.3f} s", ""),
    _Figure("uneven_ms", "Pictures off their place", "{:.2f} ms", ""),
    _Figure("frames", "Pictures", "{:.0f}", ""),
)
_COUNTS = {"closures": "closures_counted"}


def section(figures: Mapping[str, float | None], limits: Mapping[str, Sequence[Limit]]) -> Element | None:
    """What the film was measured to be; None when it was not."""
    if not figures:
        return None
    known = {one.name for one in (*_MAIN, *_OTHER)} | {
        "closures_counted",
        "blinks",
        "fps",
        "duration",
        "closures_guessed",
    }
    more = [_row(one, figures, limits) for one in _OTHER if figures.get(one.name) is not None]
    more += [h("tr", h("th", n, scope="row"), h("td", f"{v:g}"), h("td"))
             for n, v in figures.items() if n not in known and v is not None]  # fmt: skip
    broken = sum(limit.broken for some in limits.values() for limit in some)
    kept = sum(not limit.broken for some in limits.values() for limit in some)
    note = f"{broken} of {broken + kept} limits of the preset are broken." if broken else (
        f"All {kept} limits of the preset are kept." if kept else "The preset sets no limits."
    )  # fmt: skip
    return card(
        "Quality, as measured",
        h("ul", [_tile(one, figures, limits) for one in _MAIN if figures.get(one.name) is not None], class_="tiles"),
        h(
            "details",
            h("summary", "All other figures"),
            h("table", h("thead", h("tr", [h("th", t, scope="col") for t in ("figure", "value", "limit")])),
              h("tbody", more), class_="plain"),
        )
        if more
        else None,
        note=note,
        name="quality",
    )  # fmt: skip


def _tile(one: _Figure, figures: Mapping[str, float | None], limits: Mapping[str, Sequence[Limit]]) -> Element:
    counted = figures.get(_COUNTS.get(one.name, ""))
    value = figures[one.name] or 0.0
    text = f"{round(value * counted)} of {counted:.0f}" if counted else _said(one, value)
    broken = any(limit.broken for limit in limits.get(one.name, ()))
    return h(
        "li",
        h("h3", one.title),
        h("p", text, class_="value"),
        h("p", _meaning(one, figures), class_="note"),
        [h("p", _limit(one, limit), class_="limit broken" if limit.broken else "limit")
         for limit in limits.get(one.name, ())],
        class_="tile broken" if broken else "tile",
    )  # fmt: skip


def _meaning(one: _Figure, figures: Mapping[str, float | None]) -> str:
    if one.name == "closures" and figures.get("closures_guessed"):
        return "where the sound alone seems to have them: a guess, the words are not known"
    return one.meaning


def _row(one: _Figure, figures: Mapping[str, float | None], limits: Mapping[str, Sequence[Limit]]) -> Element:
    value = figures[one.name] or 0.0
    said = "; ".join(_limit(one, limit) for limit in limits.get(one.name, ()))
    return h("tr", h("th", one.title, scope="row"), h("td", _said(one, value)), h("td", said))


def _said(one: _Figure, value: float) -> str:
    # What rounds to nothing has no sign.
    return re.sub(r"[-+](?=0(\.0*)? |0(\.0*)?$)", "", one.form.format(value * one.factor))


def _limit(one: _Figure, limit: Limit) -> str:
    bound = f"{limit.bound * one.factor:g}" + (" %" if one.factor == 100 else "")
    word = "at least" if limit.least else "at most"
    return f"{'✗ limit broken:' if limit.broken else '✓'} {word} {bound}"
