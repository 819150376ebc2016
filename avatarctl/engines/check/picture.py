"""What every picture of a film shows, in a few numbers each: the mouth, the eyes, the face's light, the background.

The face is followed by the face mesh, the lips also by their own look; nothing but numbers is kept. The mesh costs more
than all the rest of a picture, so a longer film's every second picture is passed over where nothing hangs on it: the
face is taken to be halfway between where it was before and after, and the gap of its lips is left unknown rather than
guessed.
"""

from __future__ import annotations

from array import array
from bisect import insort
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.check import lids
from avatarctl.engines.check.background import Background
from avatarctl.engines.check.face import UpperFace, light, openings
from avatarctl.engines.check.film import Check, Film, pictures
from avatarctl.engines.check.lips import Followed, Likeness, Lips, joined
from avatarctl.engines.check.mouth import AWAKE, CLOSED
from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.facemesh.person import PersonNetwork
from avatarctl.errors import BadInput, NoFace

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

FACE_HEIGHT = 200
"""Pixels of the face, hairline to chin, at which a film is measured; a smaller face is measured as it is."""
SHORTER_SIDE = 512
"""Pixels, for a film whose first picture shows no face."""

_WORTH_SHRINKING = 0.85
_ALL_UP_TO = 100
"""Pictures of a film up to which none is passed over: correlations want many."""
_AT_ONCE = 4
"""Pictures that are followed from one place of the face: 0.16 s, in which it stays well within the mesh's margin."""
_STAYS = 0.03
"""Widths of the face by which it may move and still be looked for in the same place: where the mesh sees a point
depends a little on the crop that it is shown, so that each new crop would shake the lips."""
_USUAL_FROM = 10
"""Pictures after which the usual opening of the eyes is known."""
_LOOK_AGAIN, _LOOK_SOON = 12, 2
"""Pictures between two searches for a face that is not there, and from the first one, in vain, to the second: a drawn
face may be found in a picture and not in the next, and films begin with the lips together, as they are followed best.
"""
_EYES_EVERY = 3
"""Of so many groups of `_AT_ONCE`, the last picture of one tells whether eyes are to be seen."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One value a picture; NaN where the picture shows no face, or the film has no background to speak of.

    `face`: whether it is there; `gap`: between the inner lips, in u, the distance of the eye centres, by the mesh and
    by the lips' own look, NaN also where the picture was passed over; `eyes`: between the lids, in u (the mean of both
    eyes); `looks`: of both eyes, uint8 (pictures, `lids.LOOK`), 0 where there is no face; `light`: mean luma of
    forehead, nose and cheeks, 0..255; `detail`: root mean square of the Laplacian of the upper face's luma without its
    eyes, NaN where passed over; `background_error`: mean square of the background luma's difference from the first
    picture; `background_light`: its mean luma. `background_share`: of the picture that counts as background, 0..1.
    `closed`: u within which lips count as closed in pictures of this size. `eyes_shown`: share of the pictures of the
    face that show an open eye, 0..1, None without any.
    `every`: of so many pictures in a row, from the film's first on, the first is never passed over.
    """

    face: NDArray[np.bool_]
    gap: Floats
    eyes: Floats
    looks: Picture
    light: Floats
    detail: Floats
    background_error: Floats
    background_light: Floats
    background_share: float
    closed: float
    eyes_shown: float | None
    every: int

    @property
    def even_gap(self) -> Floats:
        """The gap in an even row of pictures alone, whatever else was called for to be looked at."""
        row = np.full_like(self.gap, np.nan)
        row[:: self.every] = self.gap[:: self.every]
        return row


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a film's first picture shows, at the `size` at which the film is measured (width, height): the face, None
    where there is none, its lips as they are to be followed, and the background."""

    size: tuple[int, int]
    face: Landmarks | None
    lips: Lips | None
    background: Background


class Beginnings:
    """Looks at first pictures. The last one is kept with what it shows: films of one person begin alike, and to find a
    face and its background takes as long as to follow it through ten pictures.

    Args:
        mesh: finds the face.
        network: tells people from backgrounds.
    """

    def __init__(self, mesh: FaceMesh, network: PersonNetwork) -> None:
        self._mesh, self._network = mesh, network
        self._last: tuple[Picture, Beginning] | None = None

    def of(self, i420: Picture) -> Beginning:
        """What this one shows, I420 as it was decoded."""
        if self._last is None or not np.array_equal(self._last[0], i420):
            self._last = i420, self._seen(_rgb(i420))
        return self._last[1]

    def _seen(self, first: Picture) -> Beginning:
        face = _face(self._mesh, first)
        size = _size(first, face)
        if size != first.shape[1::-1]:
            face = None if face is None else _scaled(face, size[0] / first.shape[1])
            first = np.asarray(cv2.resize(first, size, interpolation=cv2.INTER_AREA), np.uint8)
        lips = None if face is None else Lips(np.asarray(cv2.cvtColor(first, cv2.COLOR_RGB2GRAY), np.uint8), face)
        return Beginning(size, face, lips, Background(first, face, self._network))


def look(
    film: Film,
    meshes: Sequence[FaceMesh],
    beginnings: Beginnings,
    threads: int,
    wanted: Callable[[], NDArray[np.bool_]],
    check: Check,
    progress: Callable[[int, int], None],
) -> tuple[Seen, tuple[int, int]]:
    """Measure every picture: what was seen, and the width and height at which.

    Args:
        meshes: as many as pictures are looked at side by side. The figures depend neither on it nor on `threads`.
        beginnings: looks at the first picture.
        wanted: tells, for each picture of the film, whether it must not be passed over; asked when it is needed.

    Raises:
        BadInput: the film does not decode.
    """
    every = 1 if film.frames <= _ALL_UP_TO else 2
    with ExitStack() as stack:
        # A face in a large picture is nearly always large, too; and pipes are slow, so its decoder is to shrink it.
        large = film.side > SHORTER_SIDE
        coming = stack.enter_context(closing(pictures(film, None, threads, check, first_alone=large)))
        i420 = next(coming, None)
        if i420 is None:
            raise BadInput("the film cannot be measured", why="its first picture does not decode")
        beginning, begun = beginnings.of(i420), [i420]
        size = beginning.size
        if large or size != _luma(i420).shape[::-1]:
            coming.close()
            coming, begun = stack.enter_context(closing(pictures(film, size, threads, check))), []
        closely = wanted() | (np.arange(film.frames) % every == 0)
        pool = stack.enter_context(ThreadPoolExecutor(len(meshes) - 1, "look")) if threads > 1 else None
        eye = _Eye(meshes, beginning, closely, pool)
        # The first one alone, so that each group ends with a picture that is looked at.
        some = begun or list(islice(coming, 1))
        while some:
            eye.take(some)
            progress(eye.count, film.frames)
            some = list(islice(coming, _AT_ONCE))
    return eye.seen(every), size


def _face(mesh: FaceMesh, rgb: Picture) -> Landmarks | None:
    try:
        return mesh.start(rgb)
    except NoFace:
        return None


def _scaled(face: Landmarks, factor: float) -> Landmarks:
    return Landmarks((face.points * np.float32(factor)).astype(np.float32), face.score)


def _size(first: Picture, face: Landmarks | None) -> tuple[int, int]:
    height, width = first.shape[:2]
    factor = SHORTER_SIDE / min(width, height) if face is None else FACE_HEIGHT / (face.box[3] - face.box[1])
    if factor > _WORTH_SHRINKING:
        factor = 1.0
    return max(16, 2 * round(width * factor / 2)), max(16, 2 * round(height * factor / 2))


class _Row(NamedTuple):
    """A picture's place of the face, None where it is not seen, the likeness of its lips, None where they were not
    looked for, the look of its eyes, and its figures in the order of `Seen`."""

    face: Landmarks | None
    lips: Likeness | None
    eyes: Picture
    gap: float
    lids: float
    light: float
    detail: float
    error: float
    background: float


_NO_EYES = np.zeros(lids.LOOK, np.uint8)
_UNSEEN = _Row(None, None, _NO_EYES, *[float("nan")] * 6)


class _Eye:
    """Takes pictures a few at a time and looks at them side by side, as many as there are meshes.

    Each is tracked from where the face was before all of them, whether there are threads for all of them or not, so
    that the figures are the same.

    Args:
        beginning: of the film.
        closely: which pictures are not passed over; those next to a lowered lid are not, either.
    """

    def __init__(
        self,
        meshes: Sequence[FaceMesh],
        beginning: Beginning,
        closely: NDArray[np.bool_],
        pool: Executor | None,
    ) -> None:
        self._meshes = meshes
        self._pool = pool
        self._background = beginning.background.anew()
        self._face = beginning.face
        self._lips = beginning.lips
        self._upper = None if beginning.face is None else UpperFace(beginning.face)
        self._closely = closely
        self._last = _UNSEEN
        self._figures = array("d")
        self._likenesses: list[Likeness | None] = []
        self._looks = bytearray()
        self._lids: list[float] = []
        self._shown: list[bool] = []
        self._groups = 0
        self._search = 0

    @property
    def count(self) -> int:
        return len(self._likenesses)

    def _add(self, rows: Sequence[_Row]) -> None:
        """Keep what is seen of pictures. A face is 6 kB, and needed no longer than until the next one is seen."""
        for row in rows:
            self._figures.extend((row.face is not None, *row[3:]))
            self._likenesses.append(row.lips)
            self._looks += row.eyes.tobytes()
        self._last = rows[-1]

    def take(self, pictures: Sequence[Picture]) -> None:
        """I420, at most `_AT_ONCE`, in the film's order."""
        start = self._face
        if start is None:
            self._add([self._row(picture, self._found(picture)) for picture in pictures])
            return
        last = len(pictures) - 1
        chosen = [i for i in range(last + 1) if i == last or self._is_wanted(self.count + i)]
        looked = dict(zip(chosen, self._look([pictures[i] for i in chosen], start), strict=True))
        for i in chosen:
            if np.isfinite(looked[i].lids):
                insort(self._lids, looked[i].lids)
        # Each of the rest lies between two that are known by now.
        before = {i: looked[i - 1] if i else self._last for i in range(last) if i not in looked}
        doubtful = [i for i, one in before.items() if self._is_blink(one) or self._is_blink(looked[i + 1])]
        looked |= zip(doubtful, self._look([pictures[i] for i in doubtful], start), strict=True)
        for i, picture in enumerate(pictures):
            if i not in looked:
                looked[i] = self._row(picture, _between(before[i].face, looked[i + 1].face), passed_over=True)
        self._add([looked[i] for i in range(last + 1)])
        now = self._last.face
        if now is not None and self._groups % _EYES_EVERY == 0:
            self._shown.append(lids.shown(_rgb(pictures[-1]), now))
        self._groups += 1
        if now is None or _moved(start, now) > _STAYS:
            self._face = now
        if now is None:
            self._search = _LOOK_AGAIN

    def _is_wanted(self, number: int) -> bool:
        return number >= len(self._closely) or bool(self._closely[number])

    def _is_blink(self, row: _Row) -> bool:
        """Whether the lids may be lowered there; so it is, too, while nobody knows how open these eyes are."""
        if row.face is None or len(self._lids) < _USUAL_FROM:
            return True
        middle = (self._lids[(len(self._lids) - 1) // 2] + self._lids[len(self._lids) // 2]) / 2
        return row.lids < AWAKE * middle

    def _look(self, pictures: Sequence[Picture], start: Landmarks) -> list[_Row]:
        count = len(self._meshes)

        def share(number: int) -> list[_Row]:
            mesh = self._meshes[number]
            return [self._row(picture, _track(mesh, picture, start)) for picture in pictures[number::count]]

        waiting = [self._pool.submit(share, i) for i in range(1, min(count, len(pictures)))] if self._pool else []
        shares = [share(0)]
        shares += [w.result() for w in waiting] if self._pool else [share(i) for i in range(1, count)]
        return [shares[i % count][i // count] for i in range(len(pictures))]

    def _found(self, i420: Picture) -> Landmarks | None:
        """The face, looked for now and then while there is none."""
        if self._face is not None:
            self._face = _track(self._meshes[0], i420, self._face)
            if self._face is None:
                self._search = _LOOK_AGAIN
            return self._face
        self._search -= 1
        if self._search <= 0:
            self._search = _LOOK_AGAIN if self.count else _LOOK_SOON
            self._face = _face(self._meshes[0], _rgb(i420))
            if self._face is not None and self._lips is None:
                self._lips = Lips(_luma(i420), self._face)
            if self._face is not None and self._upper is None:
                self._upper = UpperFace(self._face)
        return self._face

    def _row(self, i420: Picture, face: Landmarks | None, *, passed_over: bool = False) -> _Row:
        luma, unknown = _luma(i420), float("nan")
        background = self._background.compare(luma)
        if face is None:
            return _Row(None, None, _NO_EYES, unknown, unknown, unknown, unknown, *background)
        (gap, opening), eyes = openings(face), lids.look(luma, face)
        if passed_over:
            return _Row(face, None, eyes, unknown, opening, light(luma, face), unknown, *background)
        likeness = self._lips.likeness(luma, face) if self._lips is not None else None
        detail = self._upper.detail(luma, face) if self._upper is not None else unknown
        return _Row(face, likeness, eyes, gap, opening, light(luma, face), detail, *background)

    def seen(self, every: int) -> Seen:
        face, *figures = np.array(self._figures).reshape(-1, len(_Row._fields) - 2).T
        gap, eyes, light, detail, error, background = figures
        looks = np.frombuffer(bytes(self._looks), np.uint8).reshape(-1, lids.LOOK)
        seen = face > 0, self._joined(gap), eyes, looks, light, detail, error, background
        shown = float(np.mean(self._shown)) if self._shown else None
        return Seen(*seen, self._background.share, self._lips.closed if self._lips else CLOSED, shown, every)

    def _joined(self, gap: Floats) -> Floats:
        """The mesh's gap with that of the lips' own look."""
        looked = np.array([likeness is not None for likeness in self._likenesses])
        likenesses = [likeness for likeness in self._likenesses if likeness is not None]
        found = self._lips.followed(likenesses, gap[looked]) if self._lips else None
        if self._lips is None or found is None:
            return gap
        apart, shut = np.full_like(gap, np.nan), np.zeros_like(gap)
        apart[looked], shut[looked] = found
        return joined(gap, Followed(apart, shut), self._lips.closed)


def _luma(i420: Picture) -> Picture:
    return i420[: len(i420) * 2 // 3]


def _rgb(i420: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), np.uint8)


def _track(mesh: FaceMesh, i420: Picture, previous: Landmarks) -> Landmarks | None:
    try:
        return mesh.track(_rgb(i420), previous)
    except NoFace:
        return None


def _moved(one: Landmarks, other: Landmarks) -> float:
    """The farthest that a side of the face's box went, in widths of the box."""
    before, after = np.array(one.box), np.array(other.box)
    return float(np.abs(after - before).max() / (before[2] - before[0]))


def _between(one: Landmarks | None, other: Landmarks | None) -> Landmarks | None:
    if one is None or other is None:
        return None
    return Landmarks((one.points + other.points) * np.float32(0.5), min(one.score, other.score))
