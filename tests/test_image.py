"""Photos as users give them: every format and orientation that is read, and every file that is refused."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from avatarctl.errors import BadInput, StepFailed
from avatarctl.media import image, imageheader

Image = NDArray[np.uint8]


def encoded(suffix: str, pixels: NDArray, *options: int) -> bytes:
    """A file's bytes; channels in OpenCV's order (blue first)."""
    done, content = cv2.imencode(suffix, pixels, list(options))
    assert done
    return content.tobytes()


def saved(folder: Path, content: bytes, name: str = "фото человека.bin") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def exif(orientation: int, order: str) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def jpeg_turned(content: bytes, orientation: int, order: str = ">") -> bytes:
    body = b"Exif\0\0" + exif(orientation, order)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks)


def webp_with_exif(content: bytes, width: int, height: int, orientation: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + size
    block = exif(orientation, "<")
    body = b"WEBP" + extended + content[12:] + b"EXIF" + struct.pack("<I", len(block)) + block
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.fixture
def corners() -> Image:
    """32 x 48, each quarter of another colour (blue, green, red order), so that every turn is told apart."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :24], pixels[:16, 24:] = (200, 40, 40), (40, 200, 40)
    pixels[16:, :24], pixels[16:, 24:] = (40, 40, 200), (220, 220, 220)
    return pixels


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_reads_by_content_whatever_the_name(tmp_path: Path, corners: Image, suffix: str) -> None:
    rgb, notes = image.read_photo(saved(tmp_path, encoded(suffix, corners), "Портрет ё.gif"))
    assert rgb.dtype == np.uint8 and rgb.shape == (32, 48, 3) and rgb.flags.c_contiguous
    assert np.abs(rgb[8, 12].astype(int) - (40, 40, 200)).max() <= 12
    assert notes == {
        "format": {".jpg": "JPEG", ".png": "PNG", ".webp": "WebP"}[suffix],
        "original_width": 48,
        "original_height": 32,
        "width": 48,
        "height": 32,
        "orientation": 1,
        "scaled": False,
        "alpha": False,
        "grey": False,
        "depth": 8,
    }


def stored_for(upright: Image, orientation: int) -> Image:
    """What a camera stores so that the orientation makes it upright: the table of the EXIF standard, by hand."""
    turned = {
        1: lambda p: p,
        2: lambda p: cv2.flip(p, 1),
        3: lambda p: cv2.rotate(p, cv2.ROTATE_180),
        4: lambda p: cv2.flip(p, 0),
        5: lambda p: cv2.transpose(p),
        6: lambda p: cv2.rotate(p, cv2.ROTATE_90_COUNTERCLOCKWISE),
        7: lambda p: cv2.rotate(cv2.transpose(p), cv2.ROTATE_180),
        8: lambda p: cv2.rotate(p, cv2.ROTATE_90_CLOCKWISE),
    }
    return turned[orientation](upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, corners: Image, orientation: int) -> None:
    stored = stored_for(corners, orientation)
    height, width = stored.shape[:2]
    plain_png = encoded(".png", stored)
    files = {
        "JPEG": jpeg_turned(encoded(".jpg", stored, cv2.IMWRITE_JPEG_QUALITY, 98), orientation),
        "JPEG, little-endian": jpeg_turned(encoded(".jpg", stored, cv2.IMWRITE_JPEG_QUALITY, 98), orientation, "<"),
        "PNG": plain_png[:33] + chunk(b"eXIf", exif(orientation, ">")) + plain_png[33:],
        "WebP": webp_with_exif(encoded(".webp", stored, cv2.IMWRITE_WEBP_QUALITY, 101), width, height, orientation),
    }
    for name, content in files.items():
        rgb, notes = image.read_photo(saved(tmp_path, content))
        assert notes["orientation"] == orientation, name
        assert (notes["original_width"], notes["original_height"]) == (48, 32), name
        assert rgb.shape == corners.shape, name
        assert np.abs(rgb[4:-4:8, 4:-4:8, ::-1].astype(int) - corners[4:-4:8, 4:-4:8]).max() <= 16, name


def test_damaged_exif_is_upright() -> None:
    good = exif(6, ">")
    assert imageheader.exif_orientation(good) == 6
    assert imageheader.exif_orientation(exif(9, ">")) == 1
    assert imageheader.exif_orientation(good[:13]) == 1
    assert imageheader.exif_orientation(b"") == 1


@given(st.binary(max_size=200))
def test_no_bytes_break_the_header(content: bytes) -> None:
    for start in (
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x10\0\0\0WEBP",
        b"\xff\xd8\xff\xe1\0\x40Exif\0\0MM",
    ):
        with pytest.raises(BadInput) as refused:
            imageheader.read_header(start + content)
        assert refused.value.hint


def test_transparency_goes_over_white(tmp_path: Path, corners: Image) -> None:
    alpha = np.full(corners.shape[:2], 255, np.uint8)
    alpha[:16], alpha[16:, :24] = 0, 128
    rgb, notes = image.read_photo(saved(tmp_path, encoded(".png", np.dstack([corners, alpha]))))
    assert notes["alpha"]
    assert (rgb[:16] == 255).all()
    assert rgb[20, 4].tolist() == [227, 147, 147]
    assert rgb[20, 40].tolist() == [220, 220, 220]


def test_sixteen_bits_and_grey(tmp_path: Path, corners: Image) -> None:
    deep, notes = image.read_photo(saved(tmp_path, encoded(".png", corners.astype(np.uint16) * 257)))
    assert notes["depth"] == 16 and (deep[..., ::-1] == corners).all()
    grey, notes = image.read_photo(saved(tmp_path, encoded(".png", corners[..., 0])))
    assert notes["grey"] and (grey == corners[..., :1]).all()
    grey_alpha = png(1, 1, 8, 4, chunk(b"IDAT", zlib.compress(b"\0\x64\x80")), chunk(b"IEND", b""))
    rgb, notes = image.read_photo(saved(tmp_path, grey_alpha))
    assert notes["alpha"] and rgb.tolist() == [[[177, 177, 177]]]


def test_palette_and_one_bit(tmp_path: Path) -> None:
    palette = png(
        *(2, 1, 8, 3),
        chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0])),
        chunk(b"tRNS", bytes([255, 0])),
        chunk(b"IDAT", zlib.compress(b"\0\0\1")),
        chunk(b"IEND", b""),
    )
    assert image.read_photo(saved(tmp_path, palette))[0].tolist() == [[[255, 0, 0], [255, 255, 255]]]
    bits = png(2, 1, 1, 0, chunk(b"IDAT", zlib.compress(b"\0\x40")), chunk(b"IEND", b""))
    assert image.read_photo(saved(tmp_path, bits))[0].tolist() == [[[0, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize(("suffix", "height", "width"), [(".png", 100, 6000), (".jpg", 9000, 60)])
def test_large_photos_are_scaled_down(tmp_path: Path, suffix: str, height: int, width: int) -> None:
    rgb, notes = image.read_photo(saved(tmp_path, encoded(suffix, np.full((height, width, 3), 90, np.uint8))))
    factor = 4096 / max(height, width)
    assert rgb.shape[:2] == (round(height * factor), round(width * factor))
    assert notes["scaled"] and (notes["original_width"], notes["original_height"]) == (width, height)
    assert np.abs(rgb.astype(int) - 90).max() <= 2


def test_a_photo_with_bytes_after_its_end_is_read(tmp_path: Path, corners: Image) -> None:
    """Phones append films and second pictures to their JPEG files."""
    rgb, _ = image.read_photo(saved(tmp_path, encoded(".jpg", corners) + b"\0\0\0\x18ftypmp42" * 9))
    assert rgb.shape == corners.shape


def bomb(width: int, height: int, depth: int = 8) -> bytes:
    return png(width, height, depth, 2, chunk(b"IDAT", zlib.compress(bytes(1 << 20))), chunk(b"IEND", b""))


FOREIGN = {
    "GIF": b"GIF89a" + bytes(40),
    "TIFF": b"II*\0" + bytes(40),
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(40),
    "AVIF": b"\0\0\0\x18ftypavif" + bytes(40),
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "PDF": b"%PDF-1.7\n",
    "BMP": b"BM" + bytes(60),
    "JPEG XL": b"\xff\x0a" + bytes(20),
    "video": b"\0\0\0\x18ftypisom" + bytes(40),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_formats_are_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput) as refused:
        image.read_photo(saved(tmp_path, FOREIGN[name], "photo.jpg"))
    assert name in refused.value.what and refused.value.why and refused.value.hint


def test_animations_are_refused(tmp_path: Path) -> None:
    body = (
        b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0\x0f\0\0\x0f\0\0" + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    )
    with pytest.raises(BadInput, match="animation"):
        image.read_photo(saved(tmp_path, b"RIFF" + struct.pack("<I", len(body)) + body))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (bomb(30_000, 30_000), "30000 x 30000"),
        (bomb(30_000, 10), "30000 x 10"),
        (bomb(10_001, 10_000), "10001 x 10000"),
        (bomb(9_000, 11_000, depth=16), "6 bytes"),
        (bomb(30_000, 30_000)[:60], "30000 x 30000"),
        (b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03" + bytes(30) + b"\xff\xd9", "65535 x 65535"),
    ],
)
def test_too_many_pixels_are_refused_from_the_header(
    tmp_path: Path, content: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded before it was judged"))
    with pytest.raises(BadInput, match="too large") as refused:
        image.read_photo(saved(tmp_path, content))
    assert why in refused.value.why


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.999])
def test_files_cut_short_are_refused(
    tmp_path: Path, portraits: dict[str, Path], suffix: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    content = encoded(suffix, cv2.imread(str(portraits["hopper"])))
    with pytest.raises(BadInput, match="damaged"):
        image.read_photo(saved(tmp_path, content[: int(len(content) * share)]))
    assert capfd.readouterr().err == ""


def test_data_missing_before_an_end_marker_are_noticed(
    tmp_path: Path, portraits: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    content = portraits["hopper"].read_bytes()
    with pytest.raises(BadInput, match="damaged"):
        image.read_photo(saved(tmp_path, content[: len(content) // 2] + b"\xff\xd9"))
    spoilt = bytearray(portraits["astronaut"].read_bytes())
    spoilt[50_000] ^= 0xFF
    with pytest.raises(BadInput, match="damaged") as refused:
        image.read_photo(saved(tmp_path, bytes(spoilt)))
    assert "checksum" in refused.value.why
    few_rows = png(4, 4, 8, 2, chunk(b"IDAT", zlib.compress(bytes(13))), chunk(b"IEND", b""))
    with pytest.raises(BadInput, match="damaged"):
        image.read_photo(saved(tmp_path, few_rows))
    assert capfd.readouterr().err == ""


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, what in (
        (tmp_path / "нет.jpg", "there is no picture"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe.jpg", "not an ordinary file"),
        (Path("a\0b.jpg"), "cannot be read"),
        (tmp_path / ("x" * 300), "cannot be read"),
        (saved(tmp_path, b""), "is empty"),
        (saved(tmp_path, "Привет".encode(), "a.jpg"), "not a picture"),
    ):
        with pytest.raises(BadInput, match=what) as refused:
            image.read_photo(path)
        assert refused.value.hint and "\n" not in refused.value.what


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))))
def test_png_keeps_every_pixel_and_its_bytes(tmp_path_factory: pytest.TempPathFactory, rgb: Image) -> None:
    folder = tmp_path_factory.mktemp("png")
    first, second = folder / "а.png", folder / "b.png"
    image.write_png(first, rgb)
    image.write_png(second, rgb)
    assert first.read_bytes() == second.read_bytes()
    assert (image.read_png(first) == rgb).all()
    assert image.png_size(first) == (rgb.shape[1], rgb.shape[0])


def test_jpeg_is_written(tmp_path: Path) -> None:
    image.write_jpeg(tmp_path / "a.jpg", np.full((16, 24, 3), (200, 100, 50), np.uint8))
    rgb, notes = image.read_photo(tmp_path / "a.jpg")
    assert notes["format"] == "JPEG" and np.abs(rgb.astype(int) - (200, 100, 50)).max() <= 3


def test_engine_outputs_that_are_no_png(tmp_path: Path, corners: Image) -> None:
    for content in (b"", b"\x89PNG\r\n\x1a\n", encoded(".jpg", corners)):
        with pytest.raises(StepFailed):
            image.png_size(saved(tmp_path, content))
    with pytest.raises(StepFailed):
        image.read_png(saved(tmp_path, encoded(".png", corners)[:40]))
