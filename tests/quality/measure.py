"""What the product's own stage `check` does not measure: how far the mouth opens, whether a clip ends as it begins, and
the background before it is encoded. Everything else in the table is the stage's.

The stage sees the mouth by the face mesh, which a beard or brush strokes may mislead. So the opening is measured
another way, too: as the part of the drawn picture that shows the inside of the mouth.
"""

from __future__ import annotations

import subprocess
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet.controls import INDEX
from avatarctl.engines.puppet.interior import Interior
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig
from avatarctl.errors import NoFace
from avatarctl.media import ffmpeg

Image = NDArray[np.uint8]
Curve = NDArray[np.floating]

LIP_PAIRS = ((13, 14), (82, 87), (312, 317))


@dataclass(frozen=True)
class Clip:
    """A decoded clip. `frames`: RGB uint8 (n, height, width, 3); `intended`: control -> (n,); `still`: bool
    (height, width), what should never change; `drawn_rest`: the frame of rest before encoding; `rows`: of the controls,
    float32 (n, controls)."""

    frames: NDArray[np.uint8]
    intended: dict[str, Curve]
    fps: int
    still: NDArray[np.bool_]
    drawn_rest: Image
    rows: NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """`open_slope`: u of opening that is seen for one that is meant. `drawn_r`: correlation of the opening that is
    meant with the one that is drawn. `moved`: pixels of the background that are not the same bits in every picture
    before encoding. `ends_db`: PSNR of last against first frame. `still_db`: the background of the first frame against
    itself unencoded. `lost`: frames without a face."""

    open_slope: float
    drawn_r: float
    moved: int
    ends_db: float
    still_db: float
    lost: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def decode(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    """Every frame of a film, RGB uint8 (n, height, width, 3)."""
    command = [ffmpeg.binary(), "-nostdin", "-v", "error", "-i", f"file:{path}", "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def measure(clips: list[Clip], rig: Rig, finder: FaceMesh) -> Measured:
    """One set of numbers for all clips of a film."""
    drawn, moved = draw(rig, np.concatenate([clip.rows for clip in clips]))
    gap = np.concatenate([_gaps(clip, finder) for clip in clips])
    meant = np.concatenate([clip.intended["open"] for clip in clips])
    seen = np.isfinite(gap)
    varies = seen.sum() >= 3 and np.std(meant[seen]) > 1e-6
    shown = [
        (np.where(c.still[..., None], c.frames[0], 0), np.where(c.still[..., None], c.drawn_rest, 0)) for c in clips
    ]
    return Measured(
        open_slope=float(np.polyfit(meant[seen], gap[seen], 1)[0]) if varies else float("nan"),
        drawn_r=float(np.corrcoef(meant, drawn)[0, 1]),
        moved=moved,
        ends_db=min(_psnr(c.frames[0], c.frames[-1]) for c in clips),
        still_db=min(_psnr(coded, drawn) for coded, drawn in shown),
        lost=int((~seen).sum()),
    )


def opening(face: Landmarks) -> float:
    """The gap between the lips, u."""
    return float(np.mean([np.hypot(*(face.xy[a] - face.xy[b])) for a, b in LIP_PAIRS])) / face.interocular


def draw(rig: Rig, rows: NDArray[np.float32]) -> tuple[Curve, int]:
    """How high the opening is that each row draws, in u, at the middle of the lips; and the pixels of the background
    that any picture has otherwise than the first one.

    Drawn twice, with all that is inside the mouth white and black: what differs is the opening.
    """
    light, dark = (Renderer(replace(rig, interior=_painted(rig, level))) for level in (255.0, 0.0))
    still = np.asarray(rig.moving) == 0
    left, right = (round(rig.frame.origin[0] + side * 0.12 * rig.frame.unit) for side in (-1, 1))
    heights, first = [], light.render(rows[0])[still]
    moved = np.zeros(len(first), bool)
    for row in rows:
        white, black = light.render(row), dark.render(row)
        shown = (white.astype(np.float32) - black).mean(-1) / 255
        x = round(float(row[INDEX["tx"]]) * rig.frame.unit)
        heights.append(shown[:, left + x : right + x].sum(0).mean() / rig.frame.unit)
        moved |= (white[still] != first).any(-1)
    return np.array(heights), int(moved.sum())


def _painted(rig: Rig, level: float) -> Interior:
    inside = rig.interior
    nothing = {name: np.zeros_like(getattr(inside, name)) for name in ("upper_teeth", "lower_teeth", "tongue")}
    one = np.float32(level)
    return replace(
        inside,
        **nothing,
        cavity=np.full_like(inside.cavity, one),
        wall=np.full_like(inside.wall, one),
        glow=np.ones_like(inside.glow),
    )


def _gaps(clip: Clip, finder: FaceMesh) -> Curve:
    gaps: list[float] = []
    face: Landmarks | None = None
    for frame in clip.frames:
        try:
            face = finder.landmarks(frame) if face is None else finder.track(frame, face)
        except NoFace:
            face = None
        gaps.append(opening(face) if face else float("nan"))
    return np.array(gaps)


def _psnr(one: Image, other: Image) -> float:
    error = float(np.mean((one.astype(np.float32) - other) ** 2))
    return 10 * np.log10(255**2 / max(error, 1e-3))
