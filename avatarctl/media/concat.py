"""Clips that may be joined by copying their packets, and the list by which ffmpeg joins them.

Packets can be copied only between clips whose decoders are set up alike and whose frames are stored in the
order of display, each in its place: that is checked here from the packets, without decoding them.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from avatarctl.errors import StepFailed
from avatarctl.media import probe


def frame_counts(clips: Sequence[Path], fps: int) -> list[int]:
    """How many frames each clip has.

    Raises:
        StepFailed: a clip cannot be read, or cannot follow the first one without encoding it again.
    """
    tracks = probe.packets(*clips)
    for number, track in enumerate(tracks, start=1):
        step = Fraction(1, fps) / track.time_base
        if track.decode_times != track.times or any(t != i * step for i, t in enumerate(track.times)):
            raise _misfit(number, f"its frames are not stored one by one at {fps} a second")
        for name, meaning in (("dimensions", "size"), ("codec_id", "codec"), ("extradata", "encoder settings")):
            mine, first = track.properties.get(name), tracks[0].properties.get(name)
            if mine != first:
                raise _misfit(number, f"its {meaning} differs from the first one's")
    return [len(track.times) for track in tracks]


def _misfit(number: int, why: str) -> StepFailed:
    return StepFailed(f"clip {number} cannot be joined to the others", why=why)


def playlist(clips: Sequence[Path]) -> str:
    """The script for ffmpeg's concat demuxer."""
    quoted = (str(clip.absolute()).replace("'", r"'\''") for clip in clips)
    return "ffconcat version 1.0\n" + "".join(f"file 'file:{path}'\n" for path in quoted)
