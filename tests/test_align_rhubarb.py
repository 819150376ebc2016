"""The engine that runs Rhubarb Lip Sync, against a stand-in that speaks the formats of its README (1.14)."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines import registry
from avatarctl.engines.align.rhubarb import SOUNDS, RhubarbEngine
from avatarctl.engines.align.spec import RhubarbParams
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import AvatarctlError, BadInput, StepFailed, Unavailable
from avatarctl.media import probe, wav
from avatarctl.presets import resolve
from avatarctl.stages import catalog
from avatarctl.text import articulation, cues
from avatarctl.text.timings import Timings
from avatarctl.text.visemes import POSE
from tests.media_support import read_wav
from tests.tools import Studio, refused

STAND_IN = r"""
import json, os, subprocess, sys, time, wave

def say(**event):
    print(json.dumps({**event, "log": {"level": "Trace", "message": ""}}), file=sys.stderr, flush=True)

arguments, options, given = sys.argv[1:], {}, []
while arguments:
    word = arguments.pop(0)
    if word in ("-f", "-r", "-d", "-o", "--threads"):
        options[word] = arguments.pop(0)
    elif word == "--machineReadable":
        options[word] = True
    elif word.startswith("-"):
        sys.exit(f"PARSE ERROR: Argument: {word}\n   Couldn't find match for argument")
    else:
        given.append(word)
mode, notes = os.environ.get("RHUBARB_MODE", ""), os.environ.get("RHUBARB_NOTES")
(sound,) = given
assert sound.endswith(".wav"), "Unsupported file extension"
dialog = open(options["-d"], encoding="utf-8").read() if "-d" in options else None
if notes:
    with open(notes, "a") as file:
        file.write(json.dumps({"options": options, "sound": sound, "dialog": dialog, "pid": os.getpid()}) + "\n")
with wave.open(sound) as file:
    length = file.getnframes() * 100 // file.getframerate()
say(type="start", file=sound)
if mode == "fail":
    say(type="progress", value=0.2)
    say(type="failure", reason=f"Error processing file {sound}.\nCould not open sound file.\nNo such file or directory")
    sys.exit(1)
if mode == "crash":
    print("terminate called after throwing an instance of 'std::bad_alloc'", file=sys.stderr, flush=True)
    os.abort()
if mode == "hang":
    say(type="progress", value=0.31)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(notes, "a") as file:
        file.write(json.dumps({"child": child.pid}) + "\n")
    time.sleep(600)
if mode == "slow":
    for step in range(40):
        say(type="progress", value=step / 40)
        time.sleep(0.05)
for value in (0.0, 0.5, 1.0):
    say(type="progress", value=value)
say(type="a kind that is not known yet", value="?")
shapes = "" if mode == "silent" else "ABCDEFGH"
edges = [round(10 + (length - 20) * i / len(shapes)) for i in range(len(shapes) + 1)] if shapes else [length]
marks = [0, *edges, length] if shapes else [0, length]
names = ["X", *shapes, "X"] if shapes else ["X"]
rows = [f'    {{ "start": {a / 100:.2f}, "end": {b / 100:.2f}, "value": "{n}" }}'
        for a, b, n in zip(marks, marks[1:], names)]
text = '{\n  "metadata": {\n    "soundFile": "' + sound + f'",\n    "duration": {length / 100:.2f}\n  }},\n'
text += '  "mouthCues": [\n' + ",\n".join(rows) + "\n  ]\n}\n"
if mode == "garbage":
    text = text[: len(text) // 2]
if mode == "strange":
    text = text.replace('"D"', '"Q"')
if mode != "nothing":
    with open(options["-o"], "w", encoding="utf-8") as file:
        file.write(text)
say(type="success")
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in as `rhubarb` on PATH; gives the file of its notes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "rhubarb"
    script.write_text(f"#!{sys.executable}\n{STAND_IN}", encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    notes = tmp_path / "notes"
    monkeypatch.setenv("RHUBARB_NOTES", str(notes))
    return notes


def noted(notes: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in notes.read_text().splitlines()]


def tone(seconds: float, rate: int = 16000) -> NDArray[np.float32]:
    time = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * 150 * time)).astype(np.float32)


def perform(
    folder: Path,
    *,
    text: str | None = None,
    seconds: float = 2.0,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[float, float, str], None] = lambda done, total, unit: None,
    **params: object,
) -> Timings:
    # As in the store: names without a suffix, read-only.
    wav.write(folder / "in.wav", tone(seconds), 16000)
    source = (folder / "in.wav").rename(folder / "5e12")
    source.chmod(0o444)
    inputs = {"audio": source}
    if text is not None:
        inputs["text"] = folder / "7a3f"
        inputs["text"].write_text(text, encoding="utf-8")
    out = folder / "out"
    out.mkdir()
    engine = RhubarbEngine()
    engine.load({})
    settings = RhubarbParams(**params)  # type: ignore[arg-type]
    engine.run(Job(inputs=inputs, out=out, params=settings, threads=3, cancelled=cancelled, progress=progress))
    engine.close()
    assert sorted(p.name for p in out.iterdir()) == ["speech.wav", "timings.json"]
    catalog.stage("align").validate({"speech": out / "speech.wav", "timings": out / "timings.json"}, inputs, settings)
    return Timings.read(out / "timings.json")


@pytest.mark.parametrize(
    ("text", "params", "recogniser", "language"),
    [
        ("The quick brown fox jumps over the lazy dog.", {}, "pocketSphinx", "en"),
        ("Мама мыла раму.", {}, "phonetic", "ru"),
        (None, {}, "phonetic", "und"),
        (None, {"language": "en"}, "pocketSphinx", "en"),
        (None, {"language": "en-gb"}, "pocketSphinx", "en-gb"),
        ("Мама мыла раму.", {"language": "de"}, "phonetic", "de"),
    ],
)
def test_what_the_program_is_asked(
    tmp_path: Path, program: Path, text: str | None, params: dict[str, str], recogniser: str, language: str
) -> None:
    timings = perform(tmp_path, text=text, **params)
    (call,) = noted(program)
    options = call["options"]
    assert (options["-f"], options["-r"], options["--threads"], options["--machineReadable"]) == (
        "json", recogniser, "3", True,
    )  # fmt: skip
    assert call["dialog"] == text
    assert (timings.language, timings.source) == (language, "rhubarb")


def test_mouth_shapes_become_sounds_that_look_like_them(tmp_path: Path, program: Path) -> None:
    timings = perform(tmp_path, seconds=2.0)
    assert "".join(p.ipa for p in timings.phonemes) == "".join(SOUNDS[s] for s in "ABCDEFGH") == "msɛaɔufl"
    # The stand-in speaks from 0.10 to 1.90 s: 0.05 s more of silence before it, 0.5 s behind.
    assert (timings.phonemes[0].start, timings.phonemes[-1].end) == pytest.approx((0.15, 1.95), abs=1e-3)
    assert timings.duration == pytest.approx(2.55, abs=1e-3)
    assert [p.stress for p in timings.phonemes] == [0, 0, 1, 1, 1, 1, 0, 0]
    assert timings.words == timings.sentences == ()
    given, made = tone(2.0), read_wav(tmp_path / "out" / "speech.wav")[0]
    assert np.allclose(made[800 : 800 + len(given)], given, atol=1e-4)
    assert not made[:800].any() and not made[800 + len(given) :].any()
    # Shown again, the sounds are the shapes that they came from.
    again = cues.from_timings([(articulation.LEAD, timings)], timings.duration + articulation.LEAD)
    assert [cue.shape for cue in again if cue.end - cue.start > 8] == list("XABCDEFGHX")


def test_the_mouth_of_each_shape(tmp_path: Path, program: Path) -> None:
    timings = perform(tmp_path, seconds=4.0)
    poses = articulation.poses(timings, 50)
    middle = {
        s: round(((p.start + p.end) / 2 - articulation.LEAD) * 50)
        for s, p in zip("ABCDEFGH", timings.phonemes, strict=True)
    }
    shown = {s: dict(zip(POSE, poses[frame], strict=True)) for s, frame in middle.items()}
    assert shown["A"]["open"] == 0 and shown["A"]["press"] >= 0.5
    assert shown["G"]["tuck"] >= 0.55
    assert 0.02 < shown["B"]["open"] < shown["C"]["open"] < shown["D"]["open"]
    assert shown["F"]["round"] > shown["E"]["round"] > 0.5
    assert shown["H"]["tongue"] > 0.7


def test_progress_is_told(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHUBARB_MODE", "slow")
    told: list[float] = []
    perform(tmp_path, progress=lambda done, total, unit: told.append(done / total))
    assert told == sorted(told) and told[-1] == 1
    assert len({round(t, 2) for t in told}) >= 5


@pytest.mark.parametrize(
    ("mode", "error", "says"),
    [
        ("fail", StepFailed, "Rhubarb failed.*No such file or directory"),
        ("crash", StepFailed, "Rhubarb failed.*bad_alloc"),
        ("garbage", StepFailed, "answer cannot be read"),
        ("strange", StepFailed, "answer cannot be read.*no mouth shape 'Q'"),
        ("nothing", StepFailed, "answer cannot be read.*No such file"),
        ("silent", BadInput, "nothing can be heard"),
    ],
)
def test_failures_are_told_in_one_line(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch, mode: str, error: type[AvatarctlError], says: str
) -> None:
    monkeypatch.setenv("RHUBARB_MODE", mode)
    with pytest.raises(error) as caught:
        perform(tmp_path)
    message = caught.value.as_dict()["message"]
    assert "\n" not in message and re.search(says, message), message
    assert list((tmp_path / "out").iterdir()) == []


def gone(pid: int) -> bool:
    """Within two seconds; a zombie that nobody waits for has ended too."""
    for _ in range(40):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_program_that_is_stuck_is_ended_with_its_children(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RHUBARB_MODE", "hang")
    with pytest.raises(StepFailed, match="got stuck") as caught:
        perform(tmp_path, timeout=1.5)
    assert "31%" in caught.value.why
    call, child = noted(program)
    assert gone(call["pid"]) and gone(child["child"])


def test_it_can_be_stopped(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHUBARB_MODE", "hang")
    stop = threading.Event()

    def cancelled() -> bool:
        if program.exists() and len(program.read_text().splitlines()) == 2:
            stop.set()
        return stop.is_set()

    with pytest.raises(Cancelled):
        perform(tmp_path, cancelled=cancelled)
    call, child = noted(program)
    assert gone(call["pid"]) and gone(child["child"])
    assert list((tmp_path / "out").iterdir()) == []


def test_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="not found") as caught:
        RhubarbEngine().load({})
    assert "releases" in caught.value.hint


def test_a_program_that_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rhubarb").write_text("#!/nowhere/at/all\n")
    (tmp_path / "rhubarb").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="does not start"):
        perform(tmp_path)


def test_only_the_user_chooses_it() -> None:
    for roles in (("audio",), ("audio", "text")):
        assert resolve("lite").choice("align", roles).spec.name != "rhubarb"
    chosen = resolve("lite", ["align.engine=rhubarb", "align.timeout=60"]).choice("align", ("audio",))
    assert chosen.spec.name == "rhubarb" and "timeout" not in chosen.params.keyed()
    assert registry.get("align", "rhubarb").needs == ()


def test_a_film_of_a_recording(studio: Studio, program: Path) -> None:
    wav.write(studio.work / "речь.wav", tone(1.5), 16000)
    made = studio.ok("render", "--audio", "речь.wav", "--set", "align.engine=rhubarb", "--json").json
    video = probe.decode_all(studio.work / made["outputs"]["film"]).video
    assert video is not None and video.frames == 52
    steps = studio.ok("runs", "show", made["run"], "--json").json["steps"]
    assert ("align", "rhubarb") in {(s["stage"], s["engine"]) for s in steps}
    assert len(noted(program)) == 1
    studio.ok("replay", made["run"])
    assert len(noted(program)) == 1
    failed = studio.run(
        "render", "--audio", "речь.wav", "--set", "align.engine=rhubarb", "--refresh", RHUBARB_MODE="fail"
    )
    refused(failed, 1, "rhubarb failed", "no such file")


def test_doctor_tells_whether_it_is_there(studio: Studio, program: Path, tmp_path: Path) -> None:
    def found(**extra: str) -> dict[str, str]:
        checks = studio.ok("doctor", "--json", **extra).json["checks"]
        return next(c for c in checks if c["name"] == "rhubarb")

    assert found()["found"] == str(tmp_path / "bin" / "rhubarb")
    absent = found(PATH=str(tmp_path))
    assert absent["state"] == "ok" and "align.engine=rhubarb" in absent["found"]
    wav.write(studio.work / "a.wav", tone(1.0), 16000)
    result = studio.run("render", "--audio", "a.wav", "--set", "align.engine=rhubarb", PATH=str(tmp_path))
    refused(result, 4, "rhubarb lip sync was not found", "releases")
