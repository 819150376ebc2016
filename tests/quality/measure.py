"""What a film shows, measured with the face mesh, against what was meant. The only module that measures films: once the
product has a stage that does, its report can stand in for `measure`.
"""

from __future__ import annotations

import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.errors import NoFace
from avatarctl.media import ffmpeg

Image = NDArray[np.uint8]
Curve = NDArray[np.floating]

LIP_PAIRS = ((13, 14), (82, 87), (312, 317))
EYES = ((33, 159, 145, 133), (263, 386, 374, 362))
CLOSED_GAP = 0.035
"""Lips nearer than this, u, look closed: the mesh errs by 0.01, and an encoder's blur adds to it."""
PRESSED = 0.45
MOST_LAG = 4


@dataclass(frozen=True)
class Clip:
    """A decoded clip. `frames`: RGB uint8 (n, size, size, 3); `intended`: control -> (n,); `still`: bool (size, size),
    what should never change; `drawn_rest`: the frame of rest before encoding."""

    frames: NDArray[np.uint8]
    intended: dict[str, Curve]
    fps: int
    still: NDArray[np.bool_]
    drawn_rest: Image


@dataclass(frozen=True)
class Measured:
    """`open_r`, `open_slope`, `lag_ms`: measured against meant opening of the lips, and how much later it comes.
    `closed`: share of the frames of p, b, m in which the lips look closed. `blink_r`: the same for the lids.
    `ends_db`: PSNR of last against first frame. `still_db`: the background against itself unencoded; `flicker`: its
    largest change from frame to frame, levels. `sharp_min`, `sharp_max`: Laplacian energy of the face against
    the first frame's. `lost`: frames in which no face was found."""

    open_r: float
    open_slope: float
    lag_ms: float
    closed: float
    blink_r: float
    ends_db: float
    still_db: float
    flicker: float
    sharp_min: float
    sharp_max: float
    lost: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def decode(path: Path, size: int) -> NDArray[np.uint8]:
    """Every frame of a film, RGB uint8 (n, size, size, 3)."""
    command = [ffmpeg.binary(), "-nostdin", "-v", "error", "-i", f"file:{path}", "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size, size, 3)


def measure(clips: list[Clip], finder: FaceMesh) -> Measured:
    """One set of numbers for all clips of a film."""
    tracks = [_track(clip, finder) for clip in clips]
    gap = np.concatenate([t["gap"] for t in tracks])
    lids = np.concatenate([t["lids"] for t in tracks])
    meant = {n: np.concatenate([c.intended[n] for c in clips]) for n in ("open", "blink", "press")}
    seen = np.isfinite(gap)
    slope, r = _fit(meant["open"][seen], gap[seen])
    pressed = seen & (meant["press"] > PRESSED)
    sharp = np.concatenate([t["sharp"] for t in tracks])
    ends = [_psnr(c.frames[0], c.frames[-1]) for c in clips]
    still = [
        _psnr(np.where(c.still[..., None], c.frames[0], 0), np.where(c.still[..., None], c.drawn_rest, 0))
        for c in clips
    ]
    return Measured(
        open_r=r,
        open_slope=slope,
        lag_ms=float(
            np.mean([_lag(c.intended["open"], t["gap"]) * 1000 / c.fps for c, t in zip(clips, tracks, strict=True)])
        ),
        closed=float((gap[pressed] < CLOSED_GAP).mean()) if pressed.any() else float("nan"),
        blink_r=_fit(meant["blink"][seen], lids[seen])[1] if meant["blink"].max() > 0.3 else float("nan"),
        ends_db=min(ends),
        still_db=min(still),
        flicker=max(_flicker(c) for c in clips),
        sharp_min=float(sharp.min()),
        sharp_max=float(sharp.max()),
        lost=int((~seen).sum()),
    )


def opening(face: Landmarks) -> float:
    """The gap between the lips, u."""
    return float(np.mean([np.hypot(*(face.xy[a] - face.xy[b])) for a, b in LIP_PAIRS])) / face.interocular


def _lids(face: Landmarks) -> float:
    xy = face.xy
    return float(np.mean([np.hypot(*(xy[u] - xy[d])) / np.hypot(*(xy[a] - xy[b])) for a, u, d, b in EYES]))


def _track(clip: Clip, finder: FaceMesh) -> dict[str, Curve]:
    gap, lids, sharp = [], [], []
    face: Landmarks | None = None
    first = 0.0
    for frame in clip.frames:
        try:
            face = finder.landmarks(frame) if face is None else finder.track(frame, face)
        except NoFace:
            face = None
        gap.append(opening(face) if face else np.nan)
        lids.append(-_lids(face) if face else np.nan)
        if face is not None:
            x0, y0, x1, y1 = (max(0, round(v)) for v in face.box)
            grey = cv2.cvtColor(frame[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY)
            energy = float(cv2.Laplacian(grey, cv2.CV_32F).std())
            first = first or energy
            sharp.append(energy / max(first, 1e-6))
    return {"gap": np.array(gap), "lids": np.array(lids), "sharp": np.array(sharp or [np.nan])}


def _fit(meant: Curve, got: Curve) -> tuple[float, float]:
    """Slope and correlation of what was measured over what was meant."""
    if len(meant) < 3 or np.std(meant) < 1e-6 or np.std(got) < 1e-6:
        return float("nan"), float("nan")
    return float(np.polyfit(meant, got, 1)[0]), float(np.corrcoef(meant, got)[0, 1])


def _lag(meant: Curve, got: Curve) -> float:
    """By how many frames `got` comes later, between frames by a parabola."""
    got = np.nan_to_num(got, nan=float(np.nanmean(got)) if np.isfinite(got).any() else 0.0)
    n, shifts = len(meant), range(-MOST_LAG, MOST_LAG + 1)
    scores = [_fit(meant[max(0, -s) : n - max(0, s)], got[max(0, s) : n - max(0, -s)])[1] for s in shifts]
    best = int(np.nanargmax(scores)) if np.isfinite(scores).any() else MOST_LAG
    if 0 < best < len(scores) - 1:
        before, top, after = scores[best - 1 : best + 2]
        return best - MOST_LAG + 0.5 * (before - after) / (before - 2 * top + after)
    return float(best - MOST_LAG)


def _psnr(one: Image, other: Image) -> float:
    error = float(np.mean((one.astype(np.float32) - other) ** 2))
    return 10 * np.log10(255**2 / max(error, 1e-3))


def _flicker(clip: Clip) -> float:
    if not clip.still.any():
        return float("nan")
    before, most = None, 0.0
    for frame in clip.frames:
        now = frame[clip.still].astype(np.int16)
        if before is not None:
            most = max(most, float(np.abs(now - before).mean()))
        before = now
    return most
