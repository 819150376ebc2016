"""Bad input through the command line: one clear error, the right exit code, nothing left in outputs/."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarctl.media import ffmpeg, wav
from tests.tools import Studio, refused


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def picture(path: Path, rgb: np.ndarray) -> Path:  # type: ignore[type-arg]
    ok, data = cv2.imencode(path.suffix, rgb[..., ::-1])
    assert ok
    path.write_bytes(data.tobytes())
    return path


@pytest.fixture(scope="module")
def astronaut(portraits: dict[str, Path]) -> np.ndarray:  # type: ignore[type-arg]
    from avatarctl.media.image import read_png

    return read_png(portraits["astronaut"])


SMALL = ("--set", "animate.size=256")


def nothing_delivered(studio: Studio) -> None:
    assert studio.delivered() == []
    tmp = studio.home / "tmp"
    assert not tmp.exists() or [p for p in tmp.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("kind", ["empty", "text", "gif", "truncated", "huge", "bomb", "none", "folder", "no face"])
def test_photos_that_cannot_be_used(bare: Studio, portraits: dict[str, Path], kind: str) -> None:
    photo = bare.work / "фото.jpg"
    if kind == "empty":
        photo.write_bytes(b"")
    elif kind == "text":
        photo.write_text("это не фотография")
    elif kind == "gif":
        photo.write_bytes(b"GIF89a" + bytes(200))
    elif kind == "truncated":
        photo.write_bytes(portraits["hopper"].read_bytes()[:20_000])
    elif kind == "huge":
        photo.write_bytes(png_header(30_000, 30_000))
    elif kind == "bomb":
        photo.write_bytes(png_header(60_000, 40_000))
    elif kind == "folder":
        photo.mkdir()
    elif kind == "no face":
        noise = np.random.default_rng(1).integers(0, 255, (400, 400, 3), np.uint8)
        picture(photo.with_suffix(".png"), noise).rename(photo)
    refused(bare.run("enroll", "фото.jpg"), 2)
    nothing_delivered(bare)
    assert bare.ok("avatars", "list", "--json").json["avatars"] == []


def test_a_tiny_face_is_refused(bare: Studio, astronaut: np.ndarray) -> None:  # type: ignore[type-arg]
    small = cv2.resize(astronaut, None, fx=20 / 91, fy=20 / 91, interpolation=cv2.INTER_AREA)
    canvas = np.full((600, 600, 3), 200, np.uint8)
    canvas[250 : 250 + small.shape[0], 250 : 250 + small.shape[1]] = small
    picture(bare.work / "tiny.png", canvas)
    refused(bare.run("enroll", "tiny.png"), 2, "face")


def test_two_faces_say_which_is_taken(bare: Studio, astronaut: np.ndarray) -> None:  # type: ignore[type-arg]
    face = astronaut[40:300, 110:370]
    picture(bare.work / "two.png", np.concatenate([face, face[:, ::-1]], axis=1))
    made = bare.ok("enroll", "two.png", *SMALL, "--json").json
    assert any("--face" in w["advice"] for w in made["portrait"]["warnings"])
    assert len(made["portrait"]["faces"]) == 2
    second = bare.ok("enroll", "two.png", "--face", "2", "--name", "second", *SMALL, "--json").json
    assert second["portrait"]["face"]["number"] == 2
    refused(bare.run("enroll", "two.png", "--face", "3"), 2, "--face")


def playlist(secret: Path) -> dict[str, str]:
    return {
        "ffconcat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
        f'<Representation id="1"><BaseURL>file://{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>',
        "text": "просто текст",
    }


@pytest.mark.parametrize("kind", ["ffconcat", "hls", "dash", "text", "empty", "silent", "short", "long", "none"])
def test_sounds_that_cannot_be_used(studio: Studio, portraits: dict[str, Path], kind: str) -> None:
    secret = studio.work / "secret.wav"
    tone = 0.3 * np.sin(np.arange(48_000 * 3) * 0.05).astype(np.float32)
    wav.write(secret, tone, 48_000)
    voice = studio.work / "voice.wav"
    if kind in playlist(secret):
        voice.write_text(playlist(secret)[kind])
    elif kind == "empty":
        voice.write_bytes(b"")
    elif kind == "silent":
        wav.write(voice, np.zeros(48_000 * 5, np.float32), 48_000)
    elif kind == "short":
        wav.write(voice, tone[: 48_000 // 5], 48_000)
    elif kind == "long":
        command = [ffmpeg.binary(), "-v", "error", "-f", "lavfi", "-i", "sine=300:r=8000", "-t", "7200", str(voice)]
        subprocess.run(command, check=True)
    refused(studio.run("enroll", str(portraits["hopper"]), "voice.wav"), 2)
    refused(studio.run("render", "--audio", "voice.wav"), 2)
    nothing_delivered(studio)


@pytest.mark.parametrize(
    "text",
    [
        "Привет, 🙂 мир! 👩‍🚀",
        "\x07Звонок\x00 и\x1b[31m цвет.",
        "שלום עולם",
        "مرحبا بالعالم",
        "ⴰⵣⵓⵍ ⴰⵎⴰⴹⴰⵍ. И немного по-русски.",
        "ААААА" * 60,
        "$(touch owned) `touch owned` ; %03d \\ ' \" -i",
    ],
)
def test_odd_texts_are_spoken(studio: Studio, text: str) -> None:
    made = studio.run("render", "-", "--json", stdin=text)
    assert made.code == 0, made.err
    assert not list(studio.work.rglob("owned"))


def test_too_much_text_is_refused(studio: Studio) -> None:
    refused(studio.run("render", "-", stdin="слово " * 34_000), 2)
    refused(studio.run("render", "-", stdin="х" * 5 * 2**20), 2)
    nothing_delivered(studio)


def test_names_of_files_are_only_names(studio: Studio, portraits: dict[str, Path]) -> None:
    film = studio.ok("render", "Раз.", "--out", "$(touch owned) %03d -i.mp4").out.rstrip("\n")
    assert (studio.work / film).exists()
    assert studio.ok("upscale", film, "--out", "больше.mp4").out == "больше.mp4\n"
    assert not list(studio.work.rglob("owned"))
    odd = studio.work / "-фото '%d'.jpg"
    odd.write_bytes(portraits["hopper"].read_bytes())
    studio.ok("enroll", "--name", "Грейс", "--", odd.name)


def test_upscale_refuses_what_is_no_picture(bare: Studio) -> None:
    (bare.work / "film.mp4").write_text("#EXTM3U\nfile:///etc/hostname\n")
    refused(bare.run("upscale", "film.mp4"), 2)
    (bare.work / "film.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + os.urandom(4000))
    refused(bare.run("upscale", "film.mp4"), 2)
    refused(bare.run("upscale", "none.mp4"), 2, "none.mp4")
    nothing_delivered(bare)


def test_nothing_is_asked_of_the_network(studio: Studio, tmp_path: Path) -> None:
    """A socket of any kind ends the process: neither a film nor a refused pull opens one."""
    site = tmp_path / "guard"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def guard(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.bind'):\n"
        "        os.write(2, b'A SOCKET WAS OPENED'); os._exit(99)\n"
        "sys.addaudithook(guard)\n"
    )
    guard = {"PYTHONPATH": str(site)}
    studio.ok("ask", "Кто первым полетел в космос?", "--render", "--set", "answer.max_sentences=1", **guard)
    (studio.home / "models").unlink()
    (studio.home / "models").mkdir()
    refused(studio.run("models", "pull", **guard), 4, "offline")
