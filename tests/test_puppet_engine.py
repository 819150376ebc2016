"""The puppet's engines as the runner uses them: files in, files out, the same bytes every time."""

from __future__ import annotations

import math
import subprocess
import wave
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from avatarctl.engines import registry
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.puppet.controls import CONTROLS, INDEX, Timeline
from avatarctl.engines.puppet.engine import AnimateEngine, RigEngine, save_curves
from avatarctl.engines.puppet.rig import Rig
from avatarctl.engines.puppet.spec import SPECS, PuppetAnimateParams, PuppetRigParams
from avatarctl.errors import BadConfig, BadInput, NoFace
from avatarctl.media import ffmpeg
from avatarctl.text.timings import Phoneme, Timings

SIZE = 384
SOUNDS = (*"mamapapabobotelefonvuli", "ts", *"amama")


def png(path: Path, portrait: Path) -> Path:
    cv2.imwrite(str(path), cv2.imread(str(portrait)))
    return path


def spoken(folder: Path, duration: float) -> dict[str, Path]:
    """A silent recording and the timings of words in it."""
    with wave.open(str(folder / "speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22050)
        file.writeframes(bytes(2 * round(duration * 22050)))
    phonemes, at, lengths = [], 0.2, (0.09, 0.15)
    for number, ipa in enumerate(SOUNDS):
        length = lengths[number % 2]
        if at + length > duration - 0.3:
            break
        phonemes.append(Phoneme(at, at + length, ipa, 2 if number % 4 == 1 else 0))
        at += length
    timings = Timings("ru", duration, "engine", tuple(phonemes))
    (folder / "timings.json").write_text(timings.to_json(), encoding="utf-8")
    return {"speech": folder / "speech.wav", "timings": folder / "timings.json"}


def frames_of(clip: Path, size: int) -> NDArray[np.uint8]:
    command = [ffmpeg.binary(), "-v", "error", "-i", str(clip), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size, size, 3)


@pytest.fixture(scope="module")
def rig_engine(face_models: dict[str, Path]) -> RigEngine:
    engine = RigEngine()
    engine.load(face_models)
    return engine


@pytest.fixture(scope="module")
def rig_file(rig_engine: RigEngine, portraits: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rig")
    portrait = png(out / "portrait.png", portraits["astronaut"])
    rig_engine.run(Job(inputs={"portrait": portrait}, out=out, params=PuppetRigParams(size=SIZE)))
    return out / "rig.rig"


def animate(out: Path, inputs: dict[str, Path], **job: object) -> Path:
    out.mkdir()
    engine = AnimateEngine()
    engine.load({})
    params = job.pop("params", PuppetAnimateParams(size=SIZE))
    try:
        engine.run(Job(inputs=inputs, out=out, params=params, **job))  # type: ignore[arg-type]
    finally:
        engine.close()
    return out / "clip.mp4"


def test_the_specs_name_what_exists() -> None:
    assert {(spec.stage, spec.name) for spec in SPECS} == {("rig", "puppet"), ("animate", "puppet")}
    made = [type(registry.create(spec)) for spec in SPECS]
    assert made == [RigEngine, AnimateEngine]


def test_a_rig_has_the_same_bytes_every_time(
    rig_engine: RigEngine, rig_file: Path, portraits: dict[str, Path], tmp_path: Path
) -> None:
    portrait = png(tmp_path / "portrait.png", portraits["astronaut"])
    job = Job(inputs={"portrait": portrait}, out=tmp_path, params=PuppetRigParams(size=SIZE), threads=1)
    rig_engine.run(job)
    assert (tmp_path / "rig.rig").read_bytes() == rig_file.read_bytes()


def test_the_chosen_face_is_taken(rig_engine: RigEngine, portraits: dict[str, Path], tmp_path: Path) -> None:
    one, two = (cv2.resize(cv2.imread(str(portraits[name])), (512, 512)) for name in ("hopper", "astronaut"))
    cv2.imwrite(str(tmp_path / "two.png"), np.hstack([one, two]))
    both = cv2.cvtColor(cv2.imread(str(tmp_path / "two.png")), cv2.COLOR_BGR2RGB)
    faces = rig_engine._mesh.faces(both)
    assert len(faces) == 2
    for face, smiles in zip(faces, (False, True), strict=True):
        x0, y0, x1, y1 = face.box
        chosen = f"{(x0 + x1) / 2:.1f},{(y0 + y1) / 2:.1f},{x1 - x0:.1f}"
        params = PuppetRigParams(size=SIZE, face=chosen)
        rig_engine.run(Job(inputs={"portrait": tmp_path / "two.png"}, out=tmp_path, params=params))
        assert Rig.load(tmp_path / "rig.rig").lips.is_open is smiles
    nobody = Job(
        inputs={"portrait": tmp_path / "two.png"}, out=tmp_path, params=PuppetRigParams(size=SIZE, face="500,500,60")
    )
    with pytest.raises(NoFace):
        rig_engine.run(nobody)


@pytest.mark.parametrize("face", ["1,2", "a,b,c", "1,2,0", "nan,1,2", "1,2,3,4"])
def test_a_face_is_three_numbers(rig_engine: RigEngine, portraits: dict[str, Path], tmp_path: Path, face: str) -> None:
    portrait = png(tmp_path / "portrait.png", portraits["hopper"])
    with pytest.raises(BadConfig):
        rig_engine.run(Job(inputs={"portrait": portrait}, out=tmp_path, params=PuppetRigParams(face=face)))


def test_a_picture_without_a_face_is_refused(rig_engine: RigEngine, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((300, 300, 3), 127, np.uint8))
    with pytest.raises(NoFace):
        rig_engine.run(Job(inputs={"portrait": tmp_path / "blank.png"}, out=tmp_path, params=PuppetRigParams()))


@pytest.mark.parametrize(("duration", "fps"), [(0.52, 25), (1.0, 30), (1.001, 25)])
def test_a_clip_is_as_long_as_the_speech(rig_file: Path, tmp_path: Path, duration: float, fps: int) -> None:
    inputs = {"rig": rig_file, **spoken(tmp_path, duration)}
    clip = animate(tmp_path / "out", inputs, params=PuppetAnimateParams(size=SIZE, fps=fps))
    seconds = round(duration * 22050) / 22050
    wanted = math.ceil(seconds * fps - 1e-6)
    assert len(frames_of(clip, SIZE)) == wanted
    with np.load(tmp_path / "out" / "curves.npz") as curves:
        assert curves["values"].shape == (wanted, len(CONTROLS))
        assert int(curves["fps"]) == fps
        assert list(curves["names"]) == list(CONTROLS)
        assert not curves["values"][0].any()
        # The shortest one has no room for a word: its last frame is the step before the first.
        assert np.abs(curves["values"][-1]).max() <= (0.1 if duration < 0.6 else 0)


def test_the_film_shows_what_the_curves_say(rig_file: Path, tmp_path: Path, face_models: dict[str, Path]) -> None:
    inputs = {"rig": rig_file, **spoken(tmp_path, 4.0)}
    frames = frames_of(animate(tmp_path / "out", inputs, seed=3), SIZE)
    with np.load(tmp_path / "out" / "curves.npz") as curves:
        values = curves["values"]
    mesh = FaceMesh(face_models)
    pairs = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
    measured = []
    for picture in frames:
        face = mesh.landmarks(np.ascontiguousarray(picture))
        measured.append(np.mean([np.linalg.norm(face.xy[a] - face.xy[b]) for a, b in pairs]) / face.interocular)
    opening, found = values[:, INDEX["open"]], np.array(measured)
    assert opening.max() > 0.12
    assert np.corrcoef(opening, found)[0, 1] > 0.93
    assert np.corrcoef(opening[2:], found[:-2])[0, 1] < 0.8
    closed = opening <= 0.001
    assert closed.sum() >= 5 and found[closed].max() < 0.03, found[closed]
    ends = frames[[0, -1]].astype(np.float64)
    assert np.mean((ends[0] - ends[1]) ** 2) < 12


def test_the_same_work_gives_the_same_bytes(rig_file: Path, tmp_path: Path) -> None:
    inputs = {"rig": rig_file, **spoken(tmp_path, 1.5)}
    one = animate(tmp_path / "one", inputs, seed=7, threads=1)
    two = animate(tmp_path / "two", inputs, seed=7, threads=2)
    other = animate(tmp_path / "other", inputs, seed=8, threads=2)
    for name in ("clip.mp4", "curves.npz"):
        assert one.with_name(name).read_bytes() == two.with_name(name).read_bytes()
        assert one.with_name(name).read_bytes() != other.with_name(name).read_bytes()


def test_an_engine_that_stays_draws_what_it_is_given(
    rig_engine: RigEngine, rig_file: Path, portraits: dict[str, Path], tmp_path: Path
) -> None:
    """What it keeps of one clip is not seen in the next one, even if another rig has come under the same name."""
    inputs = {"rig": tmp_path / "rig.rig", **spoken(tmp_path, 0.6)}
    rigs = [rig_file.read_bytes()]
    portrait = png(tmp_path / "portrait.png", portraits["hopper"])
    (tmp_path / "other").mkdir()
    rig_engine.run(Job(inputs={"portrait": portrait}, out=tmp_path / "other", params=PuppetRigParams(size=SIZE)))
    rigs.append((tmp_path / "other" / "rig.rig").read_bytes())
    params = PuppetAnimateParams(size=SIZE)
    green = replace(params, background="#208040")
    engine = AnimateEngine()
    for number, (rig, wanted) in enumerate([(0, params), (0, params), (0, green), (1, green), (1, params)]):
        (tmp_path / "new.rig").write_bytes(rigs[rig])
        (tmp_path / "new.rig").replace(inputs["rig"])
        out = tmp_path / str(number)
        out.mkdir()
        engine.run(Job(inputs=inputs, out=out, params=wanted, threads=1))
        fresh = animate(tmp_path / f"fresh-{number}", inputs, params=wanted, threads=1)
        assert (out / "clip.mp4").read_bytes() == fresh.read_bytes(), number
    engine.close()


def test_progress_goes_to_the_end(rig_file: Path, tmp_path: Path) -> None:
    seen: list[tuple[float, float, str]] = []
    inputs = {"rig": rig_file, **spoken(tmp_path, 2.5)}
    animate(tmp_path / "out", inputs, progress=lambda done, total, unit: seen.append((done, total, unit)))
    assert seen[-1] == (63, 63, "frames") and len(seen) >= 3
    assert [s[0] for s in seen] == sorted(s[0] for s in seen)


def test_cancelling_stops_the_encoder(rig_file: Path, tmp_path: Path) -> None:
    inputs = {"rig": rig_file, **spoken(tmp_path, 20.0)}
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 12

    with pytest.raises(Cancelled):
        animate(tmp_path / "out", inputs, cancelled=cancelled)
    assert asked < 20
    assert not [child for child in psutil.Process().children() if "ffmpeg" in child.name()]


def test_what_cannot_be_animated_says_why(rig_file: Path, tmp_path: Path) -> None:
    inputs = {"rig": rig_file, **spoken(tmp_path, 1.0)}
    with pytest.raises(BadInput, match="another size"):
        animate(tmp_path / "a", inputs, params=PuppetAnimateParams(size=512))
    for missing in ("rig", "timings"):
        with pytest.raises(BadInput, match=missing):
            animate(tmp_path / missing, {role: path for role, path in inputs.items() if role != missing})
    inputs["timings"].write_text("{}", encoding="utf-8")
    with pytest.raises(BadInput, match="timings"):
        animate(tmp_path / "b", inputs)
    inputs["rig"] = inputs["timings"]
    with pytest.raises(BadInput, match="rig"):
        animate(tmp_path / "c", inputs)


def test_curves_are_bytes_of_their_values_alone(tmp_path: Path) -> None:
    moves = Timeline(25, np.zeros((5, len(CONTROLS)), np.float32))
    save_curves(tmp_path / "a.npz", moves)
    save_curves(tmp_path / "b.npz", replace(moves, values=moves.values.copy()))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    save_curves(tmp_path / "c.npz", replace(moves, values=moves.values + 1))
    assert (tmp_path / "c.npz").read_bytes() != (tmp_path / "a.npz").read_bytes()
