"""`--background` and `--aspect`, end to end: films of another shape, before another background."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarctl.media import image
from tests.test_films import frames
from tests.tools import Studio, refused

pytestmark = pytest.mark.unjudged

WORDS = "Мама мыла раму."


@pytest.fixture
def sky(tmp_path: Path) -> Path:
    """A wide blue picture."""
    path = tmp_path / "небо.png"
    image.write_png(path, np.full((60, 200, 3), (20, 60, 200), np.uint8))
    return path


def colour_of_corner(film: Path) -> tuple[int, int, int]:
    found = np.median(frames(film)[:, 2:14, 2:14].reshape(-1, 3), 0)
    return int(found[0]), int(found[1]), int(found[2])


def test_a_film_before_a_colour(studio: Studio) -> None:
    made = studio.ok("render", WORDS, "--background", "#20c060", "--aspect", "9:16", "--json").json
    film = studio.work / made["outputs"]["film"]
    assert frames(film).shape[1:] == (456, 256, 3) or frames(film).shape[1:] == (454, 256, 3)
    assert np.abs(np.subtract(colour_of_corner(film), (32, 192, 96))).max() <= 6


def test_a_film_before_a_picture_and_again(studio: Studio, sky: Path) -> None:
    arguments = ("render", WORDS, "--background", str(sky))
    planned = studio.ok(*arguments, "--dry-run", "--json").json["steps"]
    assert [s["verdict"] for s in planned if s["stage"] == "animate"] == ["unknown"]
    made = studio.ok(*arguments, "--json").json
    film = studio.work / made["outputs"]["film"]
    assert np.abs(np.subtract(colour_of_corner(film), (20, 60, 200))).max() <= 6
    planned = studio.ok(*arguments, "--dry-run", "--json").json["steps"]
    assert {s["verdict"] for s in planned} == {"hit"}
    sky.unlink()
    again = studio.ok("replay", made["run"], "--json").json
    assert (studio.work / again["outputs"]["film"]).read_bytes() == film.read_bytes()
    white = studio.ok("replay", made["run"], "--set", "animate.background=#fff", "--json").json
    assert min(colour_of_corner(studio.work / white["outputs"]["film"])) > 245


def test_another_picture_is_another_film(studio: Studio, sky: Path, tmp_path: Path) -> None:
    studio.ok("render", WORDS, "--background", str(sky))
    image.write_png(sky, np.full((60, 200, 3), (200, 60, 20), np.uint8))
    planned = studio.ok("render", WORDS, "--background", str(sky), "--dry-run", "--json").json["steps"]
    assert {s["stage"]: s["verdict"] for s in planned}["animate"] == "run"
    assert {s["stage"]: s["verdict"] for s in planned}["speak"] == "hit"


def test_an_answer_before_a_background(studio: Studio, sky: Path) -> None:
    question = "Кто первым полетел в космос?"
    made = studio.ok(
        "ask", question, "--render", "--background", str(sky), "--aspect", "16:9",
        "--set", "answer.max_sentences=1", "--json",
    ).json  # fmt: skip
    film = studio.work / made["outputs"]["film"]
    _, height, width, _ = frames(film).shape
    assert width > 1.7 * height
    assert np.abs(np.subtract(colour_of_corner(film), (20, 60, 200))).max() <= 6
    again = studio.ok("replay", made["run"], "--json").json
    assert (studio.work / again["outputs"]["film"]).read_bytes() == film.read_bytes()


def test_a_sideways_jpeg_is_turned(studio: Studio, tmp_path: Path) -> None:
    """A photo of a phone: stored sideways, with an EXIF note to turn it."""
    left_red = np.zeros((64, 64, 3), np.uint8)
    left_red[:, :32] = (0, 0, 255)
    left_red[:, 32:] = (255, 0, 0)
    data = cv2.imencode(".jpg", left_red)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    path = tmp_path / "phone.jpg"
    path.write_bytes(turned)
    made = studio.ok("render", WORDS, "--background", str(path), "--json").json
    red, _, blue = colour_of_corner(studio.work / made["outputs"]["film"])
    assert red > 180 and blue < 80, "the left half is now above"


def test_what_is_no_background_says_why(studio: Studio, tmp_path: Path) -> None:
    for given in ("blue", "missing.png", "#12345"):
        refused(studio.run("render", WORDS, "--background", given), 2, "neither a picture nor a colour")
    (tmp_path / "text.png").write_text("not a picture")
    refused(studio.run("render", WORDS, "--background", str(tmp_path / "text.png")), 2, "")
    refused(studio.run("render", WORDS, "--background", str(tmp_path)), 2, "not a file")
    refused(studio.run("render", WORDS, "--aspect", "4:3"), 3, "aspect")
    refused(studio.run("ask", "Кто?", "--background", "#fff"), 2, "--render")
    assert not list((studio.work / "outputs").glob("*.mp4"))
