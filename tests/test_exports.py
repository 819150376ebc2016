"""Movements beside a film: at the film's own times, from the curves that moved it, in other programs' terms."""

from __future__ import annotations

import inspect
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines import registry
from avatarctl.engines.contract import Job
from avatarctl.engines.export import blendshapes
from avatarctl.engines.export.blendshapes import NAMES, Controls
from avatarctl.engines.puppet import head
from avatarctl.engines.puppet.controls import CONTROLS, INDEX, Timeline
from avatarctl.engines.puppet.engine import save_curves
from avatarctl.errors import BadInput, StepFailed
from avatarctl.media import probe, wav
from avatarctl.stages import catalog
from avatarctl.stages.catalog import ExportParams
from avatarctl.text import cues
from avatarctl.text.articulation import LEAD
from avatarctl.text.timings import Phoneme, Timings
from avatarctl.text.visemes import class_of
from tests.tools import Studio, refused

pytestmark = pytest.mark.unjudged

TEXT = "Мама мыла раму. Папа купил билет, а потом уехал!"


def stored(studio: Studio, run: str, stage: str, role: str) -> list[Path]:
    """An output of every step of a stage, in order."""
    steps = studio.ok("runs", "show", run, "--json").json["steps"]
    ledger = sqlite3.connect(f"file:{studio.home / 'ledger.sqlite'}?mode=ro", uri=True)
    found = []
    for step in steps:
        if step["stage"] == stage:
            row = ledger.execute("SELECT manifest FROM actions WHERE key = ?", (step["key"],)).fetchone()
            digest = json.loads(row[0])["outputs"][role][0]
            found.append(studio.home / "cas" / digest[:2] / digest)
    ledger.close()
    return found


def done(studio: Studio, run: str) -> set[str]:
    steps = studio.ok("runs", "show", run, "--json").json["steps"]
    return {s["stage"] for s in steps if s["status"] == "done"}


class Made:
    """A film of TEXT with everything beside it."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        made = studio.ok("render", TEXT, "--export", "visemes", "--export", "blendshapes", "--json").json
        self.run = made["run"]
        self.files = {role: studio.work / path for role, path in made["outputs"].items()}
        video = probe.decode_all(self.files["film"]).video
        assert video is not None
        self.frames, self.duration = video.frames, video.duration
        self.shapes = json.loads(self.files["blendshapes"].read_text())
        self.curves: list[NDArray[np.float32]] = []
        for path in stored(studio, self.run, "animate", "curves"):
            with np.load(path) as archive:
                self.curves.append(archive["values"])
        self.timings = [Timings.read(path) for path in stored(studio, self.run, "speak", "timings")]

    def shape(self, name: str) -> NDArray[np.float64]:
        return np.array(self.shapes["frames"])[:, self.shapes["names"].index(name)]

    def control(self, name: str) -> NDArray[np.float32]:
        return np.concatenate(self.curves)[:, INDEX[name]]


@pytest.fixture(scope="module")
def made(enrolled: Studio, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(enrolled.copy(tmp_path_factory.mktemp("exports") / "studio"))


def test_the_files_lie_beside_the_film_and_last_as_long(made: Made) -> None:
    film = made.files["film"]
    assert {role: path.name for role, path in made.files.items()} == {
        "film": film.name,
        "visemes_tsv": film.stem + ".visemes.tsv",
        "visemes_json": film.stem + ".visemes.json",
        "blendshapes": film.stem + ".blendshapes.json",
    }
    lines = [line.split("\t") for line in made.files["visemes_tsv"].read_text().splitlines()]
    found, duration = cues.from_json(made.files["visemes_json"].read_text())
    assert duration == found[-1].end / 100 == float(lines[-1][0]) == pytest.approx(made.duration, abs=0.01)
    assert [(f"{c.start / 100:.2f}", c.shape) for c in found] == [tuple(line) for line in lines[:-1]]
    assert found[0] == cues.Cue(0, found[0].end, "X") and lines[-1][1] == found[-1].shape == "X"
    assert len(made.shapes["frames"]) == len(made.shapes["head"]["rotation"]) == made.frames
    assert made.shapes["duration"] == pytest.approx(made.duration)
    assert (made.shapes["schema"], made.shapes["fps"]) == ("blendshapes/1", 25)


def test_lips_close_at_the_very_times_of_the_film(made: Made) -> None:
    found, _ = cues.from_json(made.files["visemes_json"].read_text())
    begins, closures = 0, 0
    for timings, curves in zip(made.timings, made.curves, strict=True):
        for p in timings.phonemes:
            if class_of(p.ipa) == "bilabial stop":
                closures += 1
                start, end = (100 * (begins / 25 + t - LEAD) for t in (p.start, p.end))
                assert any(c.shape == "A" and c.start < end and c.end > start for c in found), p
        begins += len(curves)
    assert closures >= 7
    shut = (made.control("open") == 0) & (made.control("press") >= 0.5)
    assert shut.sum() >= closures
    assert np.abs(made.shape("jawOpen") - made.shape("mouthClose"))[shut].max() <= 2e-4
    assert made.shape("mouthPressLeft")[shut].min() >= 0.49
    assert made.shape("mouthLowerDownLeft")[shut].max() == 0


def test_the_shapes_follow_the_curves_that_moved_the_film(made: Made) -> None:
    assert np.corrcoef(made.shape("jawOpen"), made.control("open"))[0, 1] > 0.85
    opening = made.shape("jawOpen") - made.shape("mouthClose") + 0.24 * made.shape("mouthLowerDownLeft")
    assert np.corrcoef(opening, made.control("open"))[0, 1] > 0.97
    assert np.allclose(made.shape("mouthFunnel") + made.shape("mouthPucker"), made.control("round"), atol=2e-4)
    assert np.allclose(made.shape("eyeBlinkLeft"), np.clip(made.control("blink"), 0, 1), atol=1e-4)
    assert made.shape("mouthFunnel").max() > 0.1 and made.shape("mouthPucker").max() > 0.1
    turned = np.array(made.shapes["head"]["rotation"])
    assert np.allclose(turned[:, 1], np.deg2rad(made.control("yaw")), atol=1e-4)
    assert turned.any(axis=0).all()


def test_again_everything_is_a_hit_and_the_bytes_are_equal(made: Made, enrolled: Studio, tmp_path: Path) -> None:
    before = {role: path.read_bytes() for role, path in made.files.items()}
    both = ("--export", "visemes", "--export", "blendshapes", "--json")
    again = made.studio.ok("render", TEXT, *both).json
    assert done(made.studio, again["run"]) == set()
    planned = made.studio.ok("render", TEXT, *both, "--dry-run").json["steps"]
    assert [(s["stage"], s["verdict"]) for s in planned][-1] == ("export", "hit")
    other = enrolled.copy(tmp_path / "other")
    anew = other.ok("render", TEXT, *both).json["outputs"]
    assert {role: (other.work / path).read_bytes() for role, path in anew.items()} == before


def test_one_more_format_costs_one_more_step(made: Made) -> None:
    shown = made.studio.ok("render", TEXT, "--export", "visemes", "--dry-run", "--json").json["steps"]
    assert [s["stage"] for s in shown if s["verdict"] == "run"] == ["export"]
    more = made.studio.ok(
        "render", TEXT, "--export", "visemes", "--export", "visemes", "--out", "a/b.mp4", "--json"
    ).json
    assert done(made.studio, more["run"]) == {"export"}
    assert more["outputs"] == {
        "film": "a/b.mp4",
        "visemes_tsv": "a/b.visemes.tsv",
        "visemes_json": "a/b.visemes.json",
    }
    assert (made.studio.work / "a" / "b.visemes.tsv").read_bytes() == made.files["visemes_tsv"].read_bytes()
    # Other head movements are another film with the same mouth.
    still = made.studio.ok("render", TEXT, "--export", "visemes", "--set", "animate.motion=0", "--json").json
    assert done(made.studio, still["run"]) == {"animate", "finish", "check"}


def test_a_past_run_can_be_exported(made: Made) -> None:
    plain = made.studio.ok("render", TEXT, "--json").json
    again = made.studio.ok("replay", plain["run"], "--export", "blendshapes", "--json").json
    assert set(again["outputs"]) == {"film", "blendshapes"}
    assert (made.studio.work / again["outputs"]["blendshapes"]).read_bytes() == made.files["blendshapes"].read_bytes()
    # A replay keeps what its run was asked for.
    third = made.studio.ok("replay", again["run"], "--json").json
    assert third["outputs"] == again["outputs"]
    assert done(made.studio, third["run"]) == set()
    shown = made.studio.ok("replay", again["run"], "--dry-run", "--json").json["steps"]
    assert [(s["stage"], s["verdict"]) for s in shown][-1] == ("export", "hit")


def test_an_answer_can_be_exported(made: Made) -> None:
    question = ("ask", "Кто первым полетел в космос?", "--export", "visemes", "--set", "answer.max_sentences=1")
    asked = made.studio.ok(*question, "--render", "--json").json["outputs"]
    assert set(asked) == {"film", "visemes_tsv", "visemes_json"}
    video = probe.decode_all(made.studio.work / asked["film"]).video
    assert video is not None
    _, duration = cues.from_json((made.studio.work / asked["visemes_json"]).read_text())
    assert duration == pytest.approx(video.duration, abs=0.01)
    refused(made.studio.run(*question), 2, "--render")


def test_a_recording_can_be_exported(made: Made) -> None:
    speech = made.studio.work / "речь.wav"
    shutil.copy(stored(made.studio, made.run, "speak", "speech")[0], speech)
    (made.studio.work / "речь.txt").write_text("Мама мыла раму.", encoding="utf-8")
    both = ("--export", "visemes", "--export", "blendshapes")
    out = made.studio.ok("render", "--audio", "речь.wav", "--text-file", "речь.txt", *both, "--json").json["outputs"]
    shapes = json.loads((made.studio.work / out["blendshapes"]).read_text())
    video = probe.decode_all(made.studio.work / out["film"]).video
    assert video is not None and len(shapes["frames"]) == video.frames


def test_somebody_who_waits_can_be_exported(enrolled: Studio) -> None:
    options = ("--set", "animate.size=128", "--export", "visemes", "--export", "blendshapes", "--json")
    outputs = enrolled.ok("render", "--idle", "2", *options).json["outputs"]
    document = json.loads((enrolled.work / outputs["blendshapes"]).read_text(encoding="utf-8"))
    assert len(document["frames"]) == 50
    rows = (enrolled.work / outputs["visemes_tsv"]).read_text(encoding="utf-8").splitlines()
    assert [row.split("\t") for row in rows] == [["0.00", "X"], ["2.00", "X"]]


def test_other_formats_are_refused(made: Made) -> None:
    refused(made.studio.run("render", TEXT, "--export", "viseme"), 2, "did you mean 'visemes'")
    refused(made.studio.run("replay", "last", "--export", "fbx"), 2, "blendshapes")
    asked = made.studio.ok("ask", "Кто первым полетел в космос?", "--json").json
    refused(made.studio.run("replay", asked["run"], "--export", "visemes"), 2, "--render")


def test_erasing_a_person_erases_their_movements(studio: Studio) -> None:
    outputs = studio.ok("render", TEXT, "--export", "blendshapes", "--json").json["outputs"]
    assert "export" in studio.ok("avatars", "rm", "astronaut", "--json").json["erased"]["steps"]
    assert not (studio.work / outputs["blendshapes"]).exists()


# -- the engine alone


def export(folder: Path, clips: list[dict[str, Any]], fps: int = 25, **wanted: bool) -> Path:
    """Clips of `seconds` with perhaps `timings`, and `curves` as a function of the number of frames."""
    inputs: dict[str, Path] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for k, clip in enumerate(clips):
        for role in ("speech", "timings", "curves"):
            inputs[f"{role}.{k:03d}"] = folder / f"{role}{k}"
        wav.write(inputs[f"speech.{k:03d}"], np.zeros(round(clip["seconds"] * 16000), np.float32), 16000)
        if "timings" in clip:
            inputs[f"timings.{k:03d}"].write_text(clip["timings"].to_json())
        else:
            del inputs[f"timings.{k:03d}"]
        if "curves" in clip:
            frames = -(-round(clip["seconds"] * 1000) * fps // 1000)
            save_curves(
                inputs[f"curves.{k:03d}"],
                Timeline(fps, clip["curves"](frames)),
            )
        else:
            del inputs[f"curves.{k:03d}"]
    out = folder / "out"
    out.mkdir()
    params = ExportParams(fps=fps, **wanted)
    engine = registry.create(registry.get("export", "movements"))
    engine.load({})
    engine.run(Job(inputs=inputs, out=out, params=params))
    engine.close()
    stage = catalog.stage("export")
    files = {o.role: out / (o.role + o.suffix) for o in stage.outputs if (out / (o.role + o.suffix)).exists()}
    stage.validate(files, inputs, params)
    return out


def spoken(seconds: float, *sounds: tuple[float, float, str]) -> Timings:
    return Timings("und", seconds, "engine", tuple(Phoneme(*sound) for sound in sounds))


def rows(folder: Path) -> dict[str, NDArray[np.float64]]:
    document = json.loads((folder / "blendshapes.json").read_text())
    return dict(zip(document["names"], np.array(document["frames"]).T, strict=True))


@pytest.mark.parametrize("fps", [25, 30, 50])
def test_clips_begin_after_the_frames_before_them(tmp_path: Path, fps: int) -> None:
    clip = {"seconds": 1.01, "timings": spoken(1.01, (0.5, 0.7, "m"))}
    out = export(tmp_path, [clip] * 5, fps, visemes=True, blendshapes=True)
    found, duration = cues.from_json((out / "visemes_json.json").read_text())
    step = -(-101 * fps // 100) / fps
    assert duration == int(500 * step + 1e-6) / 100
    closed = [cue.start / 100 for cue in found if cue.shape == "A"]
    assert closed == pytest.approx([k * step + 0.5 - LEAD for k in range(5)], abs=0.0101)
    press = rows(out)["mouthPressLeft"]
    assert len(press) == round(5 * step * fps)
    assert np.array_equal(press[: len(press) // 5], press[-(len(press) // 5) :])


def test_an_animator_without_known_curves_is_replaced_by_the_articulation(tmp_path: Path) -> None:
    said = spoken(1.0, (0.2, 0.4, "a"), (0.4, 0.5, "m"), (0.5, 0.8, "u"))
    plain = export(tmp_path / "a", [{"seconds": 1.0, "timings": said}], blendshapes=True)
    strange = tmp_path / "strange"
    np.savez(strange, values=np.ones((25, 1), np.float32), fps=25, names=np.array(["latent"]))
    other = tmp_path / "b"
    other.mkdir()
    wav.write(other / "s", np.zeros(16000, np.float32), 16000)
    (other / "t").write_text(said.to_json())
    inputs = {"speech.000": other / "s", "timings.000": other / "t", "curves.000": strange.with_suffix(".npz")}
    engine = registry.create(registry.get("export", "movements"))
    engine.run(Job(inputs=inputs, out=other, params=ExportParams(blendshapes=True)))
    assert (other / "blendshapes.json").read_bytes() == (plain / "blendshapes.json").read_bytes()
    shapes = rows(plain)
    assert shapes["jawOpen"].max() > 0.3 and shapes["mouthPressRight"].max() >= 0.5
    assert shapes["mouthPucker"].max() > 0.3
    with pytest.raises(BadInput, match="not known"):
        engine.run(Job(inputs={"speech.000": other / "s"}, out=other, params=ExportParams(blendshapes=True)))


@pytest.mark.parametrize("frames", [24, 26])
def test_curves_of_another_clip_are_refused(tmp_path: Path, frames: int) -> None:
    wrong = {"seconds": 1.0, "curves": lambda _: np.zeros((frames, len(CONTROLS)), np.float32)}
    with pytest.raises(StepFailed, match="not those of the clip"):
        export(tmp_path, [wrong], blendshapes=True)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not an archive", b"\x93NUMPY\x01\x00", b"no curves"])
def test_broken_curves_are_refused(tmp_path: Path, content: bytes) -> None:
    wav.write(tmp_path / "s", np.zeros(16000, np.float32), 16000)
    (tmp_path / "c").write_bytes(content)
    inputs = {"speech.000": tmp_path / "s", "curves.000": tmp_path / "c"}
    engine = registry.create(registry.get("export", "movements"))
    with pytest.raises(StepFailed, match="curves cannot be read"):
        engine.run(Job(inputs=inputs, out=tmp_path, params=ExportParams(blendshapes=True)))


def one(**controls: float) -> Mapping[str, float]:
    """The weights of a face with these controls, those that are not zero."""
    curves = {name: np.full(1, value) for name, value in controls.items()}
    row = blendshapes.weights(Controls(1, curves), 25)[0]
    return {name: float(value) for name, value in zip(NAMES, row, strict=True) if value > 0}


def test_the_names_are_arkits_in_apples_order() -> None:
    assert len(NAMES) == len(set(NAMES)) == 52
    assert (NAMES[0], NAMES[7], NAMES[14], NAMES[17], NAMES[41], NAMES[51]) == (
        "eyeBlinkLeft", "eyeBlinkRight", "jawForward", "jawOpen", "browDownLeft", "tongueOut",
    )  # fmt: skip
    for name in NAMES:
        if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
            assert name[:-4] + "Right" in NAMES


def test_left_is_the_subjects_left_which_is_image_right() -> None:
    assert set(one(gaze_x=15.0)) == {"eyeLookOutLeft", "eyeLookInRight"}
    assert set(one(gaze_x=-15.0)) == {"eyeLookInLeft", "eyeLookOutRight"}
    assert set(one(brow_skew=0.05)) == {"browOuterUpLeft", "browDownRight"}
    assert set(one(gaze_y=9.0)) == {"eyeLookDownLeft", "eyeLookDownRight"}
    assert one(gaze_x=30.0)["eyeLookOutLeft"] == 1


def test_each_control_moves_its_shapes_and_no_other() -> None:
    assert set(one(open=0.2, jaw=0.2)) == {"jawOpen"}
    assert one(open=0.0, jaw=0.2) == {"jawOpen": 0.4, "mouthClose": 0.4}
    assert set(one(open=0.06)) == {"mouthLowerDownLeft", "mouthLowerDownRight"}
    assert set(one(up=0.03, open=0.03)) == {"mouthUpperUpLeft", "mouthUpperUpRight"}
    assert set(one(round=1.0)) == {"mouthPucker"}
    assert set(one(round=1.0, open=0.25, jaw=0.25)) == {"mouthFunnel", "jawOpen"}
    assert set(one(press=0.7)) == {"mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper"}
    assert set(one(tuck=0.7)) == {"mouthRollLower", "mouthUpperUpLeft", "mouthUpperUpRight"}
    assert set(one(wide=0.05)) == {"mouthStretchLeft", "mouthStretchRight", "mouthSmileLeft", "mouthSmileRight"}
    assert set(one(smile=0.5)) == {"mouthSmileLeft", "mouthSmileRight"}
    assert set(one(smile=-0.5)) == {"mouthFrownLeft", "mouthFrownRight"}
    assert set(one(brow=0.05)) == {"browInnerUp", "browOuterUpLeft", "browOuterUpRight"}
    assert set(one(brow_inner=0.05)) == {"browInnerUp"}
    assert set(one(furrow=0.05)) == {"browDownLeft", "browDownRight"}
    assert set(one(cheek=0.05)) == {"cheekSquintLeft", "cheekSquintRight"}
    assert set(one(squint=0.05)) == {"eyeSquintLeft", "eyeSquintRight"}
    assert one(blink=1.0, lid=0.4)["eyeBlinkLeft"] == 1
    assert set(one(lid=0.3)) == {"eyeBlinkLeft", "eyeBlinkRight"}
    assert set(one(lid=-0.3)) == {"eyeWideLeft", "eyeWideRight"}
    assert one(tongue=1.0) == one(breath=1.0) == one(tx=0.1) == {}
    assert max(one(open=9.0, jaw=9.0, smile=9.0, brow=9.0).values()) == 1


def test_only_sounds_between_the_teeth_put_the_tongue_out(tmp_path: Path) -> None:
    behind = export(tmp_path / "n", [{"seconds": 1.0, "timings": spoken(1.0, (0.4, 0.5, "n"))}], blendshapes=True)
    between = export(tmp_path / "t", [{"seconds": 1.0, "timings": spoken(1.0, (0.4, 0.5, "θ"))}], blendshapes=True)
    assert rows(behind)["tongueOut"].max() == 0
    out = rows(between)["tongueOut"]
    assert 0.15 < out.max() <= 0.3 and out.argmax() == pytest.approx((0.45 - LEAD) * 25, abs=1)
    assert out[:8].max() == out[15:].max() == 0


def test_the_head_turns_in_three_js_as_it_does_on_film() -> None:
    """Euler ZXY of three.js is Rz Rx Ry in y up, z towards us; the puppet has y down and z away from us."""
    yaw, pitch, roll = 20.0, -12.0, 7.0
    curves = {"yaw": np.array([yaw]), "pitch": np.array([pitch]), "roll": np.array([roll])}
    x, y, z = blendshapes.rotation(Controls(1, curves))[0]
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    flip = np.diag([1, -1, -1])
    wanted = head.pose(np.zeros(3, np.float32), yaw, pitch, roll, (0, 0)).rotation
    assert np.allclose(flip @ about_z @ about_x @ about_y @ flip, wanted, atol=1e-6)
    nose = about_z @ about_x @ about_y @ np.array([0, 0, 1])
    assert nose[0] > 0, "yaw turns the face to image right"
    assert nose[1] > 0, "a pitch below zero lifts it"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on this machine")
def test_the_documented_snippet_drives_a_mesh(made: Made, tmp_path: Path) -> None:
    snippet = inspect.cleandoc(blendshapes.__doc__ or "").split("```js\n")[1].split("```")[0]
    # A stand-in for the scene of a glTF: two meshes, Apple's names in one and three.js's example's in the other.
    program = snippet + (
        "const data = JSON.parse(require('fs').readFileSync(process.argv[2], 'utf8'));\n"
        "const mesh = (...names) => ({morphTargetDictionary: Object.fromEntries(names.map((n, i) => [n, i])),\n"
        "  morphTargetInfluences: names.map(() => 0)});\n"
        "const face = mesh('mouthPressLeft', 'nothing', 'jawOpen');\n"
        "const other = mesh('blendShape1.eyeBlink_L', 'blendShape1.mouthPress_R');\n"
        "const model = {traverse: (visit) => [{}, face, other].forEach(visit)};\n"
        "const head = {rotation: {set(...all) { this.last = all; }}};\n"
        "const pose = performer(data, model, head), shown = [];\n"
        "for (const t of [-1, 1.0, 1.02, 2.48, 1e9]) {\n"
        "  pose(t);\n"
        "  shown.push([...face.morphTargetInfluences, ...other.morphTargetInfluences, ...head.rotation.last]);\n"
        "}\n"
        "performer(data, model)(0);\n"
        "console.log(JSON.stringify(shown));\n"
    )
    script = tmp_path / "drive.cjs"
    script.write_text(program, encoding="utf-8")
    ran = subprocess.run(
        ["node", str(script), str(made.files["blendshapes"])], capture_output=True, text=True, check=True, timeout=60
    )
    turns = np.array(made.shapes["head"]["rotation"])
    for row, place in zip(json.loads(ran.stdout), [0, 25, 25.5, 62, made.frames - 1], strict=True):
        first, part = int(place), place - int(place)

        def mixed(curve: NDArray[np.float64], first: int = first, part: float = part) -> float:
            return float(curve[first] * (1 - part) + curve[min(first + 1, len(curve) - 1)] * part)

        names = ("mouthPressLeft", "jawOpen", "eyeBlinkLeft", "mouthPressRight")
        press, nothing, jaw, blink, right, *turn, order = row
        assert [press, jaw, blink, right] == pytest.approx([mixed(made.shape(n)) for n in names], abs=1e-6)
        assert nothing == 0 and order == "ZXY"
        assert turn == pytest.approx([mixed(turns[:, i]) for i in range(3)], abs=1e-6)
