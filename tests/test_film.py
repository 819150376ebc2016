"""The film engine: clips and speech joined, frame by frame and sample by sample."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from avatarctl.engines import registry
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.engines.film.engine import CEILING
from avatarctl.errors import StepFailed
from avatarctl.media import ffmpeg, probe, wav
from avatarctl.media.video import Encoder
from avatarctl.stages import catalog, validators
from avatarctl.stages.catalog import FinishParams
from avatarctl.text.timings import Span, Timings
from tests.media_support import bursts, call_ffmpeg, clip, frame_times, grey, lumas, read_pcm, tone

BURST_AT = 0.1


def speech(path: Path, seconds: float, rate: int, level: float = 0.6) -> Path:
    """Silence but for 10 ms of a tone, 0.1 s after the beginning."""
    samples = np.zeros(round(seconds * rate), np.float32)
    begin = round(BURST_AT * rate)
    burst = tone(0.01, rate, 1000.0, level)
    samples[begin : begin + burst.size] = burst
    wav.write(path, samples, rate)
    return path


def studio(folder: Path, lengths: list[int], fps: int, rates: list[int], level: float = 0.6) -> dict[str, Path]:
    """Inputs: clips of so many frames, each with speech that ends within its last frame, and timings."""
    inputs: dict[str, Path] = {}
    first = 0
    for k, (frames, rate) in enumerate(zip(lengths, itertools.cycle(rates), strict=False)):
        seconds = (frames - 0.4) / fps
        inputs[f"clip.{k:03d}"] = clip(folder / f"c{k}", frames, fps, first=first)
        inputs[f"speech.{k:03d}"] = speech(folder / f"s{k}", seconds, rate, level)
        spans = (Span(0.0, round(seconds, 3), f"Предложение номер {k}."),)
        timings = Timings("ru", seconds, "engine", sentences=spans)
        inputs[f"timings.{k:03d}"] = folder / f"t{k}"
        inputs[f"timings.{k:03d}"].write_text(timings.to_json(), encoding="utf-8")
        first += frames
    return inputs


def finish(inputs: dict[str, Path], out: Path, key: str = "s1:abc", **params: object) -> Path:
    out.mkdir()
    engine = registry.create(registry.get("finish", "film"))
    engine.load({})
    engine.run(Job(inputs=inputs, out=out, params=FinishParams(**params), key=key))  # type: ignore[arg-type]
    engine.close()
    return out / "film.mp4"


def packets(path: Path) -> list[str]:
    """Checksums of the stored pictures, not decoded."""
    source = ffmpeg.source(path, ffmpeg.FILM_FORMATS)["v:0"]
    listing, _ = ffmpeg.run(ffmpeg.to_pipe(source, format="framehash", c="copy"), what="listing")
    return [line.split()[-1] for line in listing.decode().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    ("fps", "rates"),
    [(25, [22_050]), (25, [16_000, 48_000, 22_050]), (30, [16_000]), (30, [22_050, 24_000]), (50, [24_000])],
)
def test_picture_and_sound_stay_together(tmp_path: Path, fps: int, rates: list[int]) -> None:
    lengths = [17, 50, 33, 9, 24, 41]
    inputs = studio(tmp_path, lengths, fps, rates)
    film = finish(inputs, tmp_path / "out", fps=fps)
    starts = [0, *itertools.accumulate(lengths)]
    assert frame_times(film) == pytest.approx([i / fps for i in range(starts[-1])], abs=1e-9)
    assert lumas(film) == pytest.approx([30 + 3 * (i % 60) for i in range(starts[-1])], abs=2.5)
    assert bursts(film) == pytest.approx([start / fps + BURST_AT for start in starts[:-1]], abs=0.005)
    facts = validators.film({"film": film}, {}, FinishParams(fps=fps))
    assert facts["frames"] == starts[-1]
    # Clips are decoded when they are made, not once more in the film: its figures are the same.
    assert validators.film({"film": film}, inputs, FinishParams(fps=fps)) == facts
    sound = probe.decode_all(film).audio
    assert sound is not None
    assert (sound.sample_rate, sound.channels) == (48_000, 1)
    assert abs(sound.duration - starts[-1] / fps) < 0.001


def test_many_clips_do_not_drift(tmp_path: Path) -> None:
    inputs = studio(tmp_path, [7], 30, [16_000])
    for k in range(1, 120):
        inputs |= {f"clip.{k:03d}": inputs["clip.000"], f"speech.{k:03d}": inputs["speech.000"]}
    film = finish(inputs, tmp_path / "out", fps=30)
    assert frame_times(film) == pytest.approx([i / 30 for i in range(840)], abs=1e-9)
    assert bursts(film) == pytest.approx([k * 7 / 30 + BURST_AT for k in range(120)], abs=0.005)


def test_more_than_a_thousand_clips_keep_their_order() -> None:
    from avatarctl.engines.film.engine import _by_number

    roles = [f"clip.{k:03d}" for k in (1000, 2, 999, 0, 1001)] + ["speech.000", "clips.003"]
    assert list(_by_number({role: Path(role) for role in roles}, "clip")) == [0, 2, 999, 1000, 1001]


def test_equal_inputs_are_equal_bytes_wherever_they_lie(tmp_path: Path) -> None:
    films = []
    for name in ("a", "b: it's «кот» $(x) %03d"):
        folder = tmp_path / name
        folder.mkdir()
        inputs = studio(folder, [12, 20], 25, [22_050])
        films.append(finish(inputs, folder / "out", title="Один", language="ru", subtitles=True))
    first, second = (hashlib.sha256(film.read_bytes()).hexdigest() for film in films)
    assert first == second
    assert sorted(p.name for p in films[0].parent.iterdir()) == ["film.mp4", "subtitles.srt"]
    for word in (b"Lavf", str(tmp_path).encode()):
        assert word not in films[0].read_bytes()


def test_pictures_are_copied_not_encoded_again(tmp_path: Path) -> None:
    inputs = studio(tmp_path, [12, 20], 25, [22_050])
    film = finish(inputs, tmp_path / "out")
    assert packets(film) == packets(inputs["clip.000"]) + packets(inputs["clip.001"])


def test_the_film_can_begin_before_it_is_loaded(tmp_path: Path) -> None:
    film = finish(studio(tmp_path, [12], 25, [22_050]), tmp_path / "out").read_bytes()
    assert film.index(b"moov") < film.index(b"mdat")


def test_speech_of_one_rate_is_untouched(tmp_path: Path) -> None:
    """As 16-bit samples it goes into the film; only loud speech is made quieter, all of it alike."""
    from avatarctl.engines.film.engine import Speech

    quiet = [speech(tmp_path / f"q{k}", 0.9, 22_050, 0.6) for k in range(2)]
    pieces = np.split(np.concatenate(list(Speech(quiet, [0, 25, 50], 25).blocks())), 2)
    for path, piece in zip(quiet, pieces, strict=True):
        samples = read_pcm(path)
        assert piece.size == 22_050
        assert np.array_equal(piece[: samples.size], samples)
        assert not piece[samples.size :].any()
    loud = speech(tmp_path / "loud", 0.9, 22_050, 1.0)
    pieces = np.split(np.concatenate(list(Speech([quiet[0], loud], [0, 25, 50], 25).blocks())), 2)
    assert np.abs(pieces[1].astype(int)).max() == pytest.approx(CEILING * 32768, abs=2)
    ratio = np.abs(pieces[0].astype(int)).max() / np.abs(read_pcm(quiet[0]).astype(int)).max()
    assert ratio == pytest.approx(CEILING, abs=0.01)


def test_long_recordings_come_in_blocks(tmp_path: Path) -> None:
    from avatarctl.engines.film.engine import Speech

    long = [speech(tmp_path / f"l{rate}", 24.5, rate, 0.5) for rate in (22_050, 48_000)]
    blocks = list(Speech(long, [0, 625, 1250], 25).blocks())
    assert sum(block.size for block in blocks) == 50 * 48_000
    assert max(block.size for block in blocks) <= 10 * 48_000
    sound = np.concatenate(blocks)
    assert np.array_equal(sound[25 * 48_000 :][: round(24.5 * 48_000)], read_pcm(long[1]))
    assert not sound[round(49.5 * 48_000) :].any()


def test_loud_speech_does_not_clip(tmp_path: Path) -> None:
    film = finish(studio(tmp_path, [30, 30], 25, [22_050], level=1.0), tmp_path / "out")
    sound = probe.decode_all(film, levels=True).audio
    assert sound is not None
    assert sound.clipped == 0.0
    assert sound.peak == pytest.approx(CEILING, abs=0.09)


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Кот и пёс", "Кот и пёс"),
        ("a \"b\" 'c' = d; # \\ e | $(f) %03d", "a \"b\" 'c' = d; # \\ e | $(f) %03d"),
        ("👩‍🚀 в космосе", "👩‍🚀 в космосе"),
        ("две\nстроки\t\x00и\x1b[31m", "две строки и [31m"),
        ("\udcff одиночка", "одиночка"),
        ("مرحبا", "مرحبا"),
        ("-y", "-y"),
    ],
)
def test_any_title(tmp_path: Path, title: str, shown: str) -> None:
    film = finish(studio(tmp_path, [10], 25, [22_050]), tmp_path / "out", key="s1:0123", title=title, language="ru")
    tags = probe.tags(film)
    assert (tags["title"], tags["comment"], tags["language"]) == (shown, "s1:0123", "rus")


def test_subtitles_lie_beside_and_within(tmp_path: Path) -> None:
    inputs = studio(tmp_path, [50, 25], 25, [22_050])
    film = finish(inputs, tmp_path / "out", language="ru", subtitles=True)
    beside = (tmp_path / "out" / "subtitles.srt").read_text(encoding="utf-8")
    assert beside == (
        "1\n00:00:00,000 --> 00:00:01,984\nПредложение номер 0.\n\n"
        "2\n00:00:02,000 --> 00:00:02,984\nПредложение номер 1.\n\n"
    )
    call_ffmpeg("-i", film, "-map", "0:s:0", tmp_path / "within.srt")
    assert (tmp_path / "within.srt").read_text(encoding="utf-8") == beside


def test_clips_without_timings_have_no_subtitles(tmp_path: Path) -> None:
    inputs = {role: path for role, path in studio(tmp_path, [25, 25], 25, [22_050]).items() if role != "timings.000"}
    finish(inputs, tmp_path / "one", subtitles=True)
    assert (tmp_path / "one" / "subtitles.srt").read_text(encoding="utf-8").startswith("1\n00:00:01,000")
    del inputs["timings.001"]
    finish(inputs, tmp_path / "none", subtitles=True)
    assert [p.name for p in (tmp_path / "none").iterdir()] == ["film.mp4"]


class TestClipsThatDoNotFit:
    def refused(self, tmp_path: Path, second: Path, word: str) -> None:
        inputs = studio(tmp_path, [10, 10], 25, [22_050])
        inputs["clip.001"] = second
        with pytest.raises(StepFailed, match="clip 2") as refusal:
            finish(inputs, tmp_path / "out")
        assert word in refusal.value.why

    def test_another_size(self, tmp_path: Path) -> None:
        self.refused(tmp_path, clip(tmp_path / "x", 10, width=96), "size")

    def test_another_rate(self, tmp_path: Path) -> None:
        self.refused(tmp_path, clip(tmp_path / "x", 10, fps=30), "25 a second")

    def test_another_codec(self, tmp_path: Path) -> None:
        call_ffmpeg("-i", clip(tmp_path / "a", 10), "-c:v", "mpeg4", tmp_path / "x.mp4")
        self.refused(tmp_path, tmp_path / "x.mp4", "codec")

    def test_other_settings(self, tmp_path: Path) -> None:
        with Encoder(tmp_path / "x", 64, 64, 25, preset="ultrafast") as encoder:
            for _ in range(10):
                encoder.write(grey(64, 64, 100))
        self.refused(tmp_path, tmp_path / "x", "settings")

    def test_frames_out_of_order(self, tmp_path: Path) -> None:
        call_ffmpeg("-i", clip(tmp_path / "a", 10), "-c:v", "libx264", "-bf", "2", tmp_path / "x.mp4")
        self.refused(tmp_path, tmp_path / "x.mp4", "one by one")


def test_speech_longer_than_its_clip_is_refused(tmp_path: Path) -> None:
    inputs = studio(tmp_path, [10], 25, [22_050])
    inputs["speech.000"] = speech(tmp_path / "long", 0.5, 22_050)
    with pytest.raises(StepFailed, match="longer"):
        finish(inputs, tmp_path / "out")


@pytest.mark.parametrize("missing", ["clip.001", "speech.000", None])
def test_every_clip_needs_its_speech(tmp_path: Path, missing: str | None) -> None:
    inputs = studio(tmp_path, [10, 10], 25, [22_050])
    inputs = {role: path for role, path in inputs.items() if missing and role != missing}
    with pytest.raises(StepFailed, match="every clip needs its speech"):
        finish(inputs, tmp_path / "out")


def test_cancelling(tmp_path: Path) -> None:
    inputs = studio(tmp_path, [10], 25, [22_050])
    (tmp_path / "out").mkdir()
    engine = registry.create(registry.get("finish", "film"))
    with pytest.raises(Cancelled):
        engine.run(Job(inputs=inputs, out=tmp_path / "out", params=FinishParams(), cancelled=lambda: True))


def test_the_spec_fits_the_stage() -> None:
    spec = registry.get("finish", "film")
    roles = {i.role for i in catalog.stage("finish").inputs if i.optional}
    assert set(spec.reads) <= roles
    assert spec.params is FinishParams
