"""The processes of ffmpeg: which one, what its errors become, and that none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from avatarctl.errors import BadInput, StepFailed, Unavailable
from avatarctl.media import ffmpeg, wav
from tests.media_support import clip, playlists, tone


@pytest.fixture
def fresh() -> Iterator[None]:
    """The choice of ffmpeg is made anew, and forgotten afterwards."""
    ffmpeg.binary.cache_clear()
    yield
    ffmpeg.binary.cache_clear()


def program(path: Path, version: str, configuration: str = "--enable-libx264") -> Path:
    path.write_text(f"#!/bin/sh\necho 'configuration: {configuration}'\necho 'libavutil      {version} / {version}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("fresh")
class TestBinary:
    def test_the_named_one_is_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        mine = program(tmp_path / "my ffmpeg", "57. 28.100")
        monkeypatch.setenv("AVATARCTL_FFMPEG", str(mine))
        assert ffmpeg.binary() == str(mine)

    @pytest.mark.parametrize(
        ("version", "configuration", "why"),
        [
            ("56. 70.100", "--enable-libx264", "older"),
            ("57. 27.100", "--enable-libx264", "older"),
            ("59.  1.100", "--enable-gpl", "libx264"),
        ],
    )
    def test_a_named_one_that_will_not_do_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, configuration: str, why: str
    ) -> None:
        monkeypatch.setenv("AVATARCTL_FFMPEG", str(program(tmp_path / "ffmpeg", version, configuration)))
        with pytest.raises(Unavailable) as refusal:
            ffmpeg.binary()
        assert why in refusal.value.why
        assert refusal.value.hint

    def test_a_named_one_that_is_missing_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AVATARCTL_FFMPEG", "/nonexistent/ffmpeg")
        with pytest.raises(Unavailable, match="AVATARCTL_FFMPEG"):
            ffmpeg.binary()

    def test_an_old_one_on_path_gives_way_to_the_packaged_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program(tmp_path / "ffmpeg", "56. 70.100")
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        assert "imageio_ffmpeg" in ffmpeg.binary()

    def test_finding_it_imports_no_package(self) -> None:
        code = (
            "import sys; from avatarctl.media import ffmpeg; ffmpeg.binary(); "
            "print('imageio_ffmpeg' in sys.modules, 'numpy' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/dev/full", "the disk is full"),
        # Nobody can write to the first bytes of his own memory: an input/output error, as of a broken disk.
        ("/proc/self/mem", "the disk fails"),
    ],
)
def test_a_disk_that_is_full_or_fails_is_named(tmp_path: Path, path: str, why: str) -> None:
    wav.write(tmp_path / "a.wav", tone(1.0, 16_000), 16_000)
    source = ffmpeg.source(tmp_path / "a.wav", ffmpeg.SOUND_FORMATS)
    with pytest.raises(Unavailable, match="cannot be made") as failure:
        ffmpeg.run(ffmpeg.sink(source, path=Path(path), format="wav"), what="it cannot be made")
    assert failure.value.why == why


def test_an_error_is_one_line_without_paths_and_addresses(tmp_path: Path) -> None:
    broken = tmp_path / "a.wav"
    broken.write_bytes(b"RIFF\x00\x00\x00\x00WAVEjunk")
    source = ffmpeg.source(broken, ffmpeg.SOUND_FORMATS)
    with pytest.raises(BadInput) as failure:
        ffmpeg.run(ffmpeg.to_pipe(source, format="null"), what="the voice cannot be read", blame=BadInput)
    assert failure.value.why
    assert "\n" not in failure.value.why
    assert "0x" not in failure.value.why
    assert str(tmp_path) not in failure.value.why


@pytest.mark.parametrize("kind", sorted(playlists(Path("/secret"))))
@pytest.mark.parametrize("formats", [ffmpeg.SOUND_FORMATS, ffmpeg.FILM_FORMATS])
def test_no_file_is_opened_because_another_names_it(tmp_path: Path, kind: str, formats: str) -> None:
    secret = tmp_path / "secret.wav"
    os.mkfifo(secret)  # opening it would wait for a writer, so a test that ends shows it was left alone
    hostile = tmp_path / "voice.wav"
    hostile.write_text(playlists(secret)[kind])
    source = ffmpeg.source(hostile, formats)
    with pytest.raises(BadInput):
        ffmpeg.run(ffmpeg.to_pipe(source["a:0"], format="s16le"), what="no", blame=BadInput)


def test_log_files_of_the_environment_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFREPORT", f"file={tmp_path / 'report.log'}")
    clip(tmp_path / "a.mp4", 2)
    assert not (tmp_path / "report.log").exists()


def endless() -> object:
    """A stream that waits for frames on its input."""
    import ffmpeg as ffmpeg_python

    frames = ffmpeg_python.input("pipe:0", format="rawvideo", pix_fmt="gray", video_size=(16, 16), framerate=25)
    return ffmpeg.to_pipe(frames, format="null")


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]


def test_an_exception_kills_the_child() -> None:
    before = children()
    with pytest.raises(KeyboardInterrupt), ffmpeg.Child(endless(), what="x", feed=True):
        raise KeyboardInterrupt
    assert children() == before


def test_check_may_end_the_wait() -> None:
    class Enough(Exception):
        pass

    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise Enough

    before = children()
    with pytest.raises(Enough), ffmpeg.Child(endless(), what="x", feed=True, check=check) as child:
        child.read(1)
    assert children() == before


def test_writing_to_a_dead_child_tells_its_reason(tmp_path: Path) -> None:
    import ffmpeg as ffmpeg_python

    frames = ffmpeg_python.input("pipe:0", format="rawvideo", pix_fmt="gray", video_size=(16, 16), framerate=25)
    output = ffmpeg.sink(frames, path=tmp_path / "missing" / "a.mp4", format="mp4")
    child = ffmpeg.Child(output, what="it cannot be made", feed=True)
    with pytest.raises(StepFailed, match="cannot be made") as failure, child:
        for _ in range(10_000):
            child.write(bytes(1 << 16))
    assert "No such file" in failure.value.why


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the process table")
def test_no_child_outlives_a_killed_owner(tmp_path: Path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from avatarctl.media.video import Encoder\n"
        f"encoder = Encoder(Path({str(tmp_path / 'a.mp4')!r}), 64, 64, 25)\n"
        "encoder.write(bytes(64 * 96))\n"
        "print(encoder._child._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = psutil.Process(int(owner.stdout.readline()))
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the encoder goes on without its owner"
        time.sleep(0.02)
