"""The gate at the end: a good film keeps tight limits, and each thing that can go wrong with one is caught."""

from __future__ import annotations

import gc
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarctl.engines.check.engine import CheckEngine
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.errors import BadInput
from avatarctl.media import ffmpeg, probe
from avatarctl.recipes.verdict import faults
from avatarctl.stages.catalog import CheckParams
from tests.tools import Studio, refused

TEXT = "Мама мыла раму, папа купил билет. Потом Пётр поехал в Москву, а бабушка осталась дома!"
TIGHT = {
    "min_sync": 0.9,
    "max_lag_ms": 15,
    "min_as_intended": 0.9,
    "min_closures": 0.95,
    "max_silence_motion": 0.3,
    "min_face": 1,
    "min_background_db": 38,
    "max_flicker": 0.6,
    "max_background_flicker": 0.2,
    "min_sharpness": 0.6,
    "min_lufs": -24,
    "max_lufs": -16,
    "max_peak_db": -0.5,
    "max_clipped": 0,
    "max_length_difference": 0.04,
    "max_uneven_ms": 0.1,
}


def run_ffmpeg(*arguments: object) -> None:
    subprocess.run([ffmpeg.binary(), "-v", "error", "-y", *map(str, arguments)], check=True)


@dataclass(frozen=True)
class Lab:
    """A good film in a studio, what it was made of by role, and an engine to measure others like it."""

    studio: Studio
    film: Path
    run: str
    inputs: dict[str, Path]
    facts: dict[str, Any]
    engine: CheckEngine

    def measure(self, out: Path, film: Path, inputs: dict[str, Path] | None = None) -> dict[str, Any]:
        out.mkdir()
        given = {**(self.inputs if inputs is None else inputs), "film": film}
        self.engine.run(Job(inputs=given, out=out, params=CheckParams()))
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        assert report["schema"] == "check/1"
        figures: dict[str, Any] = report["figures"]
        return figures

    def altered(self, out: Path, change: Callable[[int, NDArray[np.uint8]], None]) -> Path:
        """The film with `change(number, picture)` done to every picture, grey levels (height, width, 3) RGB."""
        video = probe.decode_all(self.film).video
        assert video is not None
        command = [ffmpeg.binary(), "-v", "error", "-i", str(self.film), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        raw = subprocess.run(command, capture_output=True, check=True).stdout
        pictures = np.frombuffer(raw, np.uint8).reshape(-1, video.height, video.width, 3).copy()
        for number, picture in enumerate(pictures):
            change(number, picture)
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{video.width}x{video.height}", "-r", "25", "-i", "-"]
        encode = ["-map", "0:v", "-map", "1:a", "-c:a", "copy", "-c:v", "libx264", "-crf", "16", "-bf", "0"]
        subprocess.run(
            [ffmpeg.binary(), "-v", "error", "-y", *source, "-i", str(self.film), *encode, str(out)],
            input=pictures.tobytes(),
            check=True,
        )
        return out


@pytest.fixture(scope="module")
def lab(enrolled: Studio, face_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    studio = enrolled.copy(tmp_path_factory.mktemp("check") / "studio")
    made = studio.ok("render", TEXT, "--subtitles", "--json").json
    step = studio.ok("runs", "show", made["run"], "--json").json["steps"][-1]
    assert step["stage"] == "check"
    inputs = {role: studio.home / "cas" / digest[:2] / digest for role, digest in step["inputs"].items()}
    engine = CheckEngine()
    engine.load(face_models)
    # A copy that no test of erasing finds.
    film = shutil.copy(studio.work / made["outputs"]["film"], studio.home.parent / "good.mp4")
    return Lab(studio, film, made["run"], inputs, step["facts"], engine)


# -- a good film


def test_a_good_film_keeps_tight_limits(lab: Lab) -> None:
    assert faults(lab.facts, CheckParams.parse(TIGHT, "check")) == []
    assert lab.facts["closures_counted"] >= 8
    assert lab.facts["closures_guessed"] == 0
    assert lab.facts["frames"] == round(lab.facts["duration"] * 25)


def test_its_figures_are_in_the_ledger_and_shown(lab: Lab) -> None:
    ledger = sqlite3.connect(f"file:{lab.studio.home / 'ledger.sqlite'}?mode=ro", uri=True)
    query = "SELECT json_extract(manifest, '$.facts.sync') FROM actions WHERE stage = 'check'"
    assert ledger.execute(query).fetchall() == [(lab.facts["sync"],)]
    ledger.close()
    shown = lab.studio.ok("runs", "show", lab.run).out
    assert "closures_counted" in shown and f"{lab.facts['sync']:g}" in shown


def test_measured_again_it_is_the_same_report(lab: Lab, tmp_path: Path) -> None:
    assert lab.measure(tmp_path / "again", lab.inputs["film"]) == lab.facts


def test_it_keeps_the_faces_of_a_few_pictures_only(lab: Lab, tmp_path: Path) -> None:
    """So an hour's film takes no more memory than a minute's."""
    kept: list[int] = []

    def count(done: float, total: float, unit: str) -> None:
        kept.append(sum(isinstance(thing, Landmarks) for thing in gc.get_objects()))

    given = {"film": lab.film}
    lab.engine.run(Job(inputs=given, out=tmp_path, params=CheckParams(), progress=count))
    assert len(kept) > 4 and max(kept) <= 12


def test_without_curves_timings_tell_the_same(lab: Lab, tmp_path: Path) -> None:
    bare = {role: path for role, path in lab.inputs.items() if not role.startswith("curves")}
    found = lab.measure(tmp_path / "out", lab.film, bare)
    assert (found["sync"], found["lag_ms"]) == (lab.facts["sync"], lab.facts["lag_ms"])
    assert found["as_intended"] is None and found["blinks_as_intended"] is None
    assert found["blinks"] == lab.facts["blinks"]


def test_without_timings_sync_is_unknown(lab: Lab, tmp_path: Path) -> None:
    found = lab.measure(tmp_path / "out", lab.film, {})
    names = ("sync", "lag_ms", "sound_shift_ms", "as_intended", "closures", "silence_motion")
    assert all(found[name] is None for name in names)
    assert found["face"] == 1 and found["lufs"] == lab.facts["lufs"]


# -- what can go wrong


@pytest.mark.parametrize("late", [-160, -80, -40, 40, 80, 160])
def test_sound_that_is_off_is_found_with_its_sign(lab: Lab, tmp_path: Path, late: int) -> None:
    moved = tmp_path / "moved.mp4"
    shift = f"adelay={late}:all=1" if late > 0 else f"atrim=start={-late / 1000},asetpts=PTS-STARTPTS"
    run_ffmpeg("-i", lab.film, "-map", "0:v", "-map", "0:a", "-c:v", "copy", "-af", shift, moved)
    found = lab.measure(tmp_path / "out", moved)
    assert found["lag_ms"] == pytest.approx(late, abs=15)
    assert found["sound_shift_ms"] == pytest.approx(late, abs=2)
    assert found["sync"] == pytest.approx(lab.facts["sync"], abs=0.01)
    broken = {f.limit for f in faults(found, CheckParams(max_lag_ms=30))}
    assert broken == {"max_lag_ms"}


def test_sound_that_the_container_delays_is_found(lab: Lab, tmp_path: Path) -> None:
    moved = tmp_path / "moved.mp4"
    run_ffmpeg("-i", lab.film, "-itsoffset", "0.1", "-i", lab.film, "-map", "0:v", "-map", "1:a", "-c", "copy", moved)
    found = lab.measure(tmp_path / "out", moved)
    assert found["lag_ms"] == pytest.approx(100, abs=15)
    assert found["length_difference"] == pytest.approx(0.1, abs=0.04)


def test_pictures_that_are_late_are_found(lab: Lab, tmp_path: Path) -> None:
    kept: list[NDArray[np.uint8]] = []

    def delayed(number: int, picture: NDArray[np.uint8]) -> None:
        kept.append(picture.copy())
        picture[:] = kept[max(0, number - 3)]

    found = lab.measure(tmp_path / "out", lab.altered(tmp_path / "late.mp4", delayed))
    assert found["lag_ms"] == pytest.approx(-120, abs=15)
    assert found["sound_shift_ms"] == pytest.approx(0, abs=2)


def test_another_sound_is_not_taken_for_the_recordings(lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    noise = "anoisesrc=d=5:c=pink:a=0.2:r=48000"
    run_ffmpeg("-i", lab.film, "-f", "lavfi", "-i", noise, "-map", "0:v", "-map", "1:a", "-c:v", "copy", other)
    found = lab.measure(tmp_path / "out", other)
    assert found["sound_shift_ms"] is None and found["lag_ms"] is None


def test_a_frozen_mouth_is_caught(lab: Lab, tmp_path: Path) -> None:
    first: list[NDArray[np.uint8]] = []

    def frozen(number: int, picture: NDArray[np.uint8]) -> None:
        first.append(picture.copy()) if number == 0 else None
        picture[128:230, 60:196] = first[0][128:230, 60:196]

    found = lab.measure(tmp_path / "out", lab.altered(tmp_path / "frozen.mp4", frozen))
    assert found["sync"] < 0.5
    assert found["as_intended"] < 0.5
    assert found["blinks"] == lab.facts["blinks"]


def test_a_mouth_that_says_something_else_is_caught(lab: Lab, tmp_path: Path) -> None:
    kept: list[NDArray[np.uint8]] = []
    lab.altered(tmp_path / "same.mp4", lambda number, picture: kept.append(picture.copy()))

    def backwards(number: int, picture: NDArray[np.uint8]) -> None:
        picture[:] = kept[-1 - number]

    found = lab.measure(tmp_path / "out", lab.altered(tmp_path / "backwards.mp4", backwards))
    assert found["sync"] < 0.5
    assert found["closures"] < 0.8
    assert {"min_sync", "min_closures"} <= {f.limit for f in faults(found, CheckParams.parse(TIGHT, "check"))}


def test_of_eyes_behind_dark_glasses_nothing_is_told(lab: Lab, face_models: dict[str, Path], tmp_path: Path) -> None:
    """Their lids would be a guess. That they are not to be seen is said, and can be forbidden."""
    centres: list[NDArray[np.intp]] = []

    def darkened(number: int, picture: NDArray[np.uint8]) -> None:
        if not centres:
            centres.extend(FaceMesh(face_models).landmarks(picture).eye_centres.astype(int))
        for x, y in centres:
            picture[y - 16 : y + 17, x - 18 : x + 19] = 22

    found = lab.measure(tmp_path / "out", lab.altered(tmp_path / "dark.mp4", darkened))
    assert found["eyes"] == 0 and lab.facts["eyes"] > 0.8
    assert found["blinks"] is found["blinks_per_minute"] is found["blinks_as_intended"] is None
    assert {f.limit for f in faults(found, CheckParams(min_eyes=0.5, min_blinks_as_intended=0.9))} == {"min_eyes"}


def test_flicker_is_caught(lab: Lab, tmp_path: Path) -> None:
    def flickering(number: int, picture: NDArray[np.uint8]) -> None:
        np.clip(picture.astype(np.int16) + (4 if number % 2 else -4), 0, 255, out=picture, casting="unsafe")

    found = lab.measure(tmp_path / "out", lab.altered(tmp_path / "flicker.mp4", flickering))
    broken = {f.limit for f in faults(found, CheckParams(max_flicker=2, max_background_flicker=2))}
    assert broken == {"max_flicker", "max_background_flicker"}
    assert found["sync"] == pytest.approx(lab.facts["sync"], abs=0.02)


def test_a_background_that_moves_is_caught(lab: Lab, tmp_path: Path) -> None:
    def moving(number: int, picture: NDArray[np.uint8]) -> None:
        place = number % 100
        picture[place : place + 8, 230:] = 255 - picture[place : place + 8, 230:]

    found = lab.measure(tmp_path / "out", lab.altered(tmp_path / "moving.mp4", moving))
    broken = {f.limit for f in faults(found, CheckParams.parse(TIGHT, "check"))}
    assert "min_background_db" in broken
    assert found["background_min_db"] < lab.facts["background_min_db"] - 8


def test_softness_that_comes_and_goes_is_caught(lab: Lab, tmp_path: Path) -> None:
    import cv2

    def soft(number: int, picture: NDArray[np.uint8]) -> None:
        if number % 50 > 40:
            picture[:] = cv2.GaussianBlur(picture, (0, 0), 1.5)

    found = lab.measure(tmp_path / "out", lab.altered(tmp_path / "soft.mp4", soft))
    assert found["sharpness"] < 0.45 and lab.facts["sharpness"] > 0.85


@pytest.mark.parametrize(("gain", "limit"), [("25dB", "max_clipped"), ("-25dB", "min_lufs")])
def test_sound_that_is_too_loud_or_too_soft_is_caught(lab: Lab, tmp_path: Path, gain: str, limit: str) -> None:
    changed = tmp_path / "changed.mp4"
    run_ffmpeg("-i", lab.film, "-map", "0:v", "-map", "0:a", "-c:v", "copy", "-af", f"volume={gain}", changed)
    found = lab.measure(tmp_path / "out", changed)
    assert limit in {f.limit for f in faults(found, CheckParams.parse(TIGHT, "check"))}
    assert found["lag_ms"] == pytest.approx(0, abs=15)


# -- films of every kind


def test_a_film_without_a_face_has_no_figures_of_one(lab: Lab, tmp_path: Path) -> None:
    bars = tmp_path / "bars.mkv"
    pictures, tone = "testsrc2=s=320x180:r=30:d=3", "sine=f=997:d=3:r=44100"
    run_ffmpeg("-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", tone, bars)
    found = lab.measure(tmp_path / "out", bars)
    names = ("sync", "closures", "blinks", "blinks_per_minute", "flicker", "sharpness", "silence_motion", "lag_ms")
    assert found["face"] == 0 and all(found[name] is None for name in names)
    assert found["frames"] == 90 and found["fps"] == pytest.approx(30, abs=0.1)
    assert faults(found, CheckParams(min_sync=0.9, min_closures=1, max_flicker=0)) == []
    assert {f.limit for f in faults(found, CheckParams(min_face=0.9))} == {"min_face"}


def test_a_silent_film_is_measured_too(lab: Lab, tmp_path: Path) -> None:
    silent = tmp_path / "silent.mp4"
    run_ffmpeg("-i", lab.film, "-map", "0:v", "-c", "copy", silent)
    found = lab.measure(tmp_path / "out", silent)
    assert found["lufs"] is None and found["length_difference"] is None and found["lag_ms"] is None
    assert found["sync"] == lab.facts["sync"]


def test_one_picture_is_a_film(lab: Lab, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    run_ffmpeg("-i", lab.film, "-frames:v", "1", "-t", "0.04", "-c:v", "libx264", short)
    found = lab.measure(tmp_path / "out", short)
    assert found["frames"] == 1 and found["sync"] is None and found["background_db"] is None


@pytest.mark.parametrize("content", [b"", b"not a film", b"\0" * 4096])
def test_what_is_no_film_is_refused(lab: Lab, tmp_path: Path, content: bytes) -> None:
    wrong = tmp_path / "wrong.mp4"
    wrong.write_bytes(content)
    with pytest.raises(BadInput):
        lab.measure(tmp_path / "out", wrong, {})


def test_it_stops_when_asked(lab: Lab, tmp_path: Path) -> None:
    asked: list[bool] = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > 12

    (tmp_path / "out").mkdir()
    with pytest.raises(Cancelled):
        lab.engine.run(Job(inputs=lab.inputs, out=tmp_path / "out", params=CheckParams(), cancelled=cancelled))
    assert list((tmp_path / "out").iterdir()) == []


# -- the measures themselves


def test_loudness_is_that_of_the_standard(lab: Lab, tmp_path: Path) -> None:
    """A sine of 997 Hz at full scale in one channel is -3.01 LUFS (ITU-R BS.1770); two such channels are 3 dB more."""
    for channels, expected in ((1, -23.01), (2, -20.0)):
        tone = tmp_path / f"tone{channels}.mkv"
        sine = f"aevalsrc={'|'.join(['0.1*sin(2*PI*997*t)'] * channels)}:d=6:s=48000"
        black = "color=s=64x64:r=25:d=6"
        run_ffmpeg("-f", "lavfi", "-i", black, "-f", "lavfi", "-i", sine, "-c:a", "flac", tone)
        found = lab.measure(tmp_path / f"out{channels}", tone, {})
        assert found["lufs"] == pytest.approx(expected, abs=0.05)
        assert found["peak_db"] == pytest.approx(-20, abs=0.05)


def test_loudness_agrees_with_ffmpegs_own(lab: Lab) -> None:
    command = [ffmpeg.binary(), "-hide_banner", "-i", str(lab.film), "-vn", "-af", "ebur128", "-f", "null", "-"]
    log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    said = float(log.rsplit("I:", 1)[1].split("LUFS")[0])
    assert lab.facts["lufs"] == pytest.approx(said, abs=0.15)


# -- limits


def test_limits_are_named_for_their_figures(lab: Lab) -> None:
    limits = [name for name in CheckParams.__dataclass_fields__ if name.startswith(("min_", "max_"))]
    assert {name.partition("_")[2] for name in limits} <= set(lab.facts)
    assert CheckParams().keyed() == {}


def test_a_film_below_a_limit_is_delivered_as_rejected(lab: Lab, tmp_path: Path) -> None:
    studio = lab.studio
    strict = ("--set", "check.min_sync=0.9999", "--set", "check.max_lufs=-60")
    command = ("render", TEXT, "--subtitles", "--out", "film.mp4")
    (studio.work / "film.mp4").write_text("an older film, and a good one")
    said = f"sync {lab.facts['sync']:g} is below 0.9999"
    refused(studio.run(*command, *strict), 1, "film.rejected.mp4", said, "lufs", "check.min_sync=none")
    assert (studio.work / "film.rejected.mp4").read_bytes() == lab.film.read_bytes()
    assert (studio.work / "film.rejected.srt").exists()
    assert (studio.work / "film.mp4").read_text() == "an older film, and a good one"
    shown = studio.ok("runs", "show", "last", "--json").json
    assert shown["run"]["status"] == "failed" and "sync" in shown["run"]["error"]
    assert {s["status"] for s in shown["steps"]} == {"hit"}, "a limit makes nothing again"

    spoken = json.loads(studio.run(*command, *strict, "--json").err.splitlines()[-1])
    assert set(spoken) == {"code", "message", "hint"} and spoken["code"] == "rejected"

    assert studio.ok(*command).out == "film.mp4\n"
    assert (studio.work / "film.mp4").read_bytes() == lab.film.read_bytes()
    assert not list(studio.work.glob("film.rejected.*")), "a good film takes the rejected one away"


def test_movements_go_with_a_rejected_film(lab: Lab) -> None:
    command = ("render", TEXT, "--export", "visemes", "--out", "moves.mp4")
    assert lab.studio.run(*command, "--set", "check.min_sync=1").code == 1
    assert sorted(p.name for p in lab.studio.work.glob("moves.*")) == [
        "moves.rejected.mp4",
        "moves.rejected.visemes.json",
        "moves.rejected.visemes.tsv",
    ]
    lab.studio.ok(*command)
    made = {p.name for p in lab.studio.work.glob("moves.*")}
    assert made == {"moves.mp4", "moves.visemes.json", "moves.visemes.tsv"}


def test_a_rejected_film_that_was_changed_stays(lab: Lab) -> None:
    kept = lab.studio.work / "mine.rejected.mp4"
    kept.write_text("cut by hand")
    lab.studio.ok("render", TEXT, "--out", "mine.mp4")
    assert kept.read_text() == "cut by hand"


def test_erasing_a_person_erases_rejected_films(lab: Lab, tmp_path: Path) -> None:
    studio = lab.studio.copy(tmp_path / "erased")
    assert studio.run("render", TEXT, "--set", "check.min_sync=1").code == 1
    (film,) = (studio.work / "outputs").glob("*.rejected.mp4")
    studio.ok("avatars", "rm", "astronaut")
    assert not film.exists()
    left = {s["stage"] for s in studio.ok("cache", "stats", "--json").json["stages"]}
    assert "check" not in left


def test_the_check_can_be_left_out_and_limits_are_a_presets(lab: Lab, tmp_path: Path) -> None:
    studio = lab.studio.copy(tmp_path / "off")
    plan = studio.ok("render", TEXT, "--set", "check.enabled=false", "--dry-run", "--json").json["steps"]
    assert "check" not in {s["stage"] for s in plan}
    folder = studio.home / "config" / "presets"
    folder.mkdir(parents=True)
    (folder / "strict.toml").write_text('extends = "lite"\n[check]\nmin_sync = 1.0\n')
    assert studio.run("render", TEXT, "--preset", "strict").code == 1
    assert studio.ok("render", TEXT, "--preset", "strict", "--set", "check.min_sync=none").code == 0


def test_any_film_can_be_checked(lab: Lab) -> None:
    made = lab.studio.ok("check", str(lab.film), "--json").json
    assert made["broken"] == [] and made["figures"]["sync"] is None
    assert made["figures"]["lufs"] == lab.facts["lufs"]
    soft = lab.studio.run("check", str(lab.film), "--set", "check.min_lufs=-10")
    assert soft.code == 1 and "background_db" in soft.out
    assert "lufs" in soft.err and "is below -10" in soft.err
    (lab.studio.work / "text.mp4").write_text("no film")
    refused(lab.studio.run("check", "text.mp4"), 2, "film")
    refused(lab.studio.run("check", "missing.mp4"), 2, "missing.mp4")


def test_asking_and_replaying_check_too(lab: Lab) -> None:
    asked = lab.studio.run(
        "ask", "Что такое орбита?", "--render", "--set", "answer.max_sentences=1", "--set", "check.min_sync=1"
    )
    assert asked.code == 1 and "sync" in asked.err
    again = lab.studio.run("replay", "last", "--set", "check.min_sync=0.5", "--json")
    assert again.code == 0, again.err
    steps = lab.studio.ok("runs", "show", again.json["run"], "--json").json["steps"]
    assert {s["status"] for s in steps} == {"hit"} and steps[-1]["stage"] == "check"
