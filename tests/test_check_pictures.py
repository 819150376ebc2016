"""What the gate takes for background, for detail and for the mouth that is called for, on pictures drawn at once."""

from __future__ import annotations

import subprocess
import wave
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarctl.engines.check import mouth, steadiness
from avatarctl.engines.check.background import Background
from avatarctl.engines.check.expected import Clip, expect
from avatarctl.engines.check.face import UpperFace
from avatarctl.engines.check.film import Film, survey
from avatarctl.engines.check.picture import Beginnings, look
from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.facemesh.person import PersonNetwork
from avatarctl.engines.puppet import timeline
from avatarctl.engines.puppet.controls import INDEX, Timeline
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import build_rig
from avatarctl.engines.puppet.spec import PuppetAnimateParams
from avatarctl.media import ffmpeg
from avatarctl.text.timings import Timings
from tests.mouth_support import Picture, row
from tests.quality import bones, paint
from tests.quality.measure import draw
from tests.test_timeline import speech

SIZE = 320
FPS = 25
SAID = speech("b 'a t a m 'o l e v 'i s u _ p 'o m a l 'a n u t i _ d 'i r o m 'a s e k o")
OTHER = speech("s 'i n o _ r 'u m e k 'a t i l o p e z 'a _ v 'e m u l 'o g i b 'a t e r u")


def luma(picture: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def decibels(error: float) -> float:
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


@pytest.mark.parametrize(("name", "degrees"), [("astronaut", 0), ("astronaut", 20), ("hopper", -15)])
def test_hair_and_shoulders_are_no_background(
    name: str, degrees: int, photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork
) -> None:
    photo = paint.turned(photos[name], degrees) if degrees else photos[name]
    renderer = Renderer(build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42, network=network))
    first = renderer.render(row())
    background = Background(first, mesh.landmarks(first), network)
    assert background.share > 0.1
    assert background.compare(luma(first))[0] == 0
    moved = renderer.render(row(yaw=6, roll=4, pitch=-3, tx=0.04, breath=1))
    assert decibels(background.compare(luma(moved))[0]) > 45


def test_films_that_begin_alike_are_looked_at_closely_once(
    photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next film's background is compared with its own first picture; another beginning is looked at anew."""
    one, other = (
        np.asarray(cv2.cvtColor(photos[name][:512, :512], cv2.COLOR_RGB2YUV_I420), np.uint8)
        for name in ("astronaut", "hopper")
    )
    beginnings = Beginnings(mesh, network)
    seen = beginnings.of(one)
    film = seen.background.anew()
    assert film.compare(one[:512])[0] == 0 and film.compare(one[:512] // 2)[0] > 0
    with monkeypatch.context() as patch:
        patch.setattr(FaceMesh, "start", lambda mesh, rgb: pytest.fail("the face was looked for again"))
        again = beginnings.of(one.copy())
    assert again is seen and again.background.anew().compare(one[:512] // 2)[0] == 0
    assert beginnings.of(other) is not seen


def test_a_face_that_the_first_picture_does_not_show_is_soon_found(
    photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork, tmp_path: Path
) -> None:
    """The first dozen pictures were lost, and lips were followed from whatever they said by then."""
    shown = photos["astronaut"][:512, :512]
    command = [ffmpeg.binary(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "512x512", "-r", "25"]
    pictures = np.stack([np.zeros_like(shown), *[shown] * 8])
    subprocess.run([*command, "-i", "-", str(tmp_path / "film.mp4")], input=pictures.tobytes(), check=True)
    film = survey(tmp_path / "film.mp4", lambda: None)
    every = np.ones(film.frames, bool)
    seen, _ = look(film, [mesh], Beginnings(mesh, network), 1, lambda: every, lambda: None, lambda done, of: None)
    assert film.frames == 9 and not seen.face[0] and seen.face[3:].all()


def test_what_moves_beside_the_person_is_seen(
    photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork
) -> None:
    """Two widths of a hand away from the hair is background, and a bend of a hundredth of the picture is seen there."""
    renderer = Renderer(
        build_rig(photos["hopper"], mesh.landmarks(photos["hopper"]).points, SIZE, 0.42, network=network)
    )
    first = renderer.render(row())
    face = mesh.landmarks(first)
    lines = first.copy()
    lines[::6, : int(face.box[0] - 0.5 * face.interocular)] //= 2
    background = Background(lines, face, network)
    background.compare(luma(lines))
    bent = lines.copy()
    bent[:, : int(face.box[0])] = np.roll(lines[:, : int(face.box[0])], 3, axis=0)
    assert decibels(background.compare(luma(bent))[0]) < 30


def test_a_moustache_below_the_nose_is_no_detail_that_comes_and_goes(
    photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    photo = photos["astronaut"]
    points = mesh.landmarks(photo).points
    photo = paint.strokes(photo, points, paint.moustache_region(points), (40, 28, 20), 1.5)
    renderer = Renderer(build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42))
    shut, wide = (renderer.render(row(open=opening, jaw=0.8 * opening)) for opening in (0, 0.2))
    face = mesh.landmarks(shut)
    upper = UpperFace(face)
    assert upper.detail(luma(wide), mesh.track(wide, face)) / upper.detail(luma(shut), face) == pytest.approx(
        1, abs=0.05
    )


def test_detail_does_not_jump_with_its_border(photos: dict[str, Picture], mesh: FaceMesh) -> None:
    """Where the border is goes with the mesh, whose points shake by a fraction of a pixel."""
    face, picture = mesh.landmarks(photos["astronaut"]), luma(photos["astronaut"])
    shift = np.array([0.15, 0.1, 0], np.float32)
    upper = UpperFace(face)
    found = [upper.detail(picture, Landmarks(face.points + i * shift, face.score)) for i in range(12)]
    shaking = np.abs(np.diff(found, 2)).mean() / np.mean(found)
    assert shaking < 0.007, found


@pytest.mark.parametrize(
    ("name", "change", "least"),
    [
        ("hopper", lambda photo, points: paint.poster(bones.child(photo, points, 2.2), 12), 0.97),
        ("astronaut", paint.fringe, 0.95),
    ],
)
def test_speech_is_no_breathing(
    name: str, change: Callable[..., Picture], least: float, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """Below the upper face, every vowel drags lines of a cartoon and ends of hair with it, and the mesh over them."""
    photo = change(photos[name], mesh.landmarks(photos[name]).points)
    renderer = Renderer(build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42))
    face = mesh.landmarks(renderer.render(row()))
    upper, seen, still = UpperFace(face), [], []
    for opening, rounding in ((0, 0), (0.1, 0), (0.25, 0), (0.1, 0.5), (0.05, 1), (0, 0.6)):
        picture = renderer.render(row(open=opening, jaw=0.8 * opening, round=rounding))
        seen.append(upper.detail(luma(picture), mesh.track(picture, face)))
        still.append(upper.detail(luma(picture), face))
    assert min(still) / max(still) > 0.985, still
    assert min(seen) / max(seen) > least, seen


@pytest.mark.parametrize("blur", [0.45, 0.6, 1.0])
def test_sharpness_that_breathes_is_measured_as_strong_as_it_is(
    blur: float, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """Against the same blur on a face that neither moves nor speaks, in one region for all pictures."""
    photo = photos["astronaut"]
    renderer = Renderer(build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42))
    rest = renderer.render(row())
    face = start = mesh.landmarks(rest)
    upper, found = UpperFace(start), []
    for i in range(25):
        angle = 2 * np.pi * i / 12
        moving = row(yaw=3 * np.sin(angle), roll=2 * np.cos(angle), open=0.1 - 0.1 * np.cos(2 * angle), jaw=0.1)
        picture = renderer.render(moving)
        if i >= 12:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.uint8)
        face = mesh.track(picture, face)
        found.append(upper.detail(luma(picture), face))
    soft = np.asarray(cv2.GaussianBlur(rest, (0, 0), blur), np.uint8)
    true = upper.detail(luma(soft), start) / upper.detail(luma(rest), start)
    seen = steadiness.sharpness(np.array(found), np.ones(len(found), bool))
    assert true < 0.93 and seen == pytest.approx(true, abs=0.03)


def film_of(timings: Timings, mood: str, speaks: Path) -> tuple[Timeline, Clip]:
    moves = timeline.build(timings, FPS, 1, replace(PuppetAnimateParams(), mood=mood))
    curves: Mapping[str, np.ndarray] = {"open": moves.values[:, INDEX["open"]].astype(np.float64)}
    return moves, Clip(0.0, timings.duration, speaks, timings, curves, FPS)


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(2 * round(16000 * max(SAID.duration, OTHER.duration))))
    return path


@pytest.mark.parametrize("mood", ["neutral", "surprised"])
def test_a_mood_between_phrases_is_called_for(mood: str, silence: Path) -> None:
    """A mouth that does all that the animator means is in step with the sound; one that says other words is not, nor
    is it late."""
    moves, clip = film_of(SAID, mood, silence)
    frames = len(moves.values)
    film = Film(silence, frames, FPS, 0.0, 0.0, 512, 1)
    seen = moves.values[:, INDEX["open"]].astype(np.float64)
    sync, late = mouth.best_lag(expect([clip], film, frames).opening, seen, FPS)
    assert sync is not None and sync > 0.97
    assert late == pytest.approx(0, abs=0.005)
    wrong = replace(clip, timings=replace(OTHER, duration=SAID.duration))
    sync, _ = mouth.best_lag(expect([wrong], film, frames).opening, seen, FPS)
    assert sync is not None and sync < 0.6
    later = np.concatenate([np.full(2, seen[0]), seen[:-2]])
    assert mouth.best_lag(expect([clip], film, frames).opening, later, FPS)[1] == pytest.approx(0.08, abs=0.01)


@pytest.mark.parametrize(("name", "change"), [("astronaut", paint.painting), ("astronaut", None), ("hopper", None)])
def test_what_is_drawn_opens_as_it_is_meant(
    name: str, change: Callable[[Picture], Picture] | None, photos: dict[str, Picture], mesh: FaceMesh
) -> None:
    """Whatever the mesh makes of it: a beard, or strokes of a brush, may hide from it what the film shows."""
    photo = photos[name]
    points = mesh.landmarks(photo).points
    photo = change(photo) if change else paint.beard(photo, points, (52, 36, 26)) if name == "astronaut" else photo
    rig = build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42)
    moves = timeline.build(SAID, FPS, 1, replace(PuppetAnimateParams(), mood="surprised"))
    shown, moved = draw(rig, moves.values)
    assert np.corrcoef(moves.values[:, INDEX["open"]], shown)[0, 1] > 0.98
    assert moved == 0
