"""Reading photos that users give, and writing pictures that are the same bytes every time.

Nothing is decoded before its header is judged, so no picture can take more memory than is meant for it.
All pixels are RGB, uint8 (height, width, 3).
"""

from __future__ import annotations

import os
import re
import stat
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.errors import BadInput, StepFailed
from avatarctl.media.imageheader import Header, read_header
from avatarctl.media.native import without_chatter

Image = NDArray[np.uint8]

LONGEST_SIDE = 4096
"""Larger photos are scaled down to this, pixels: no film is larger."""

MAX_FILE_BYTES = 256 << 20

_BAND = 256
"""Rows handled at a time where wider numbers are needed, to keep memory flat."""
_CODEC_CHATTER = re.compile(rb"JPEG|libpng|libwebp|marker|SOS parameters|\[ *(WARN|ERROR|INFO)")
_DATA_ENDS_EARLY = re.compile(r"premature end", re.IGNORECASE)

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def read_photo(path: Path) -> tuple[Image, dict[str, Any]]:
    """A JPEG, PNG or WebP photo, upright (EXIF orientation applied), its longer side at most 4096 pixels.

    Transparent parts become white, 16 bits become 8, grey and CMYK become RGB.

    Returns:
        The pixels, and notes: `format`, `original_width`, `original_height` (upright), `width`, `height`,
        `orientation` (EXIF, 1..8), `scaled`, `alpha`, `grey` (stored with one channel), `depth` (bits a channel).

    Raises:
        BadInput: missing, not a file, unreadable, another format, too large, cut short or damaged.
    """
    content = _content(path)
    header = read_header(content)
    stored = _decoded(content, header)
    depth = 16 if stored.dtype == np.uint16 else 8
    alpha = stored.ndim == 3 and stored.shape[2] == 4 and bool((stored[..., 3] < np.iinfo(stored.dtype).max).any())
    grey = stored.ndim == 2 or stored.shape[2] == 1
    rgb = fit(oriented(_as_rgb(stored), header.orientation), LONGEST_SIDE)
    turned = header.orientation >= 5
    original = (header.height, header.width) if turned else (header.width, header.height)
    height, width = rgb.shape[:2]
    return rgb, {
        "format": header.format,
        "original_width": original[0],
        "original_height": original[1],
        "width": width,
        "height": height,
        "orientation": header.orientation,
        "scaled": (width, height) != original,
        "alpha": alpha,
        "grey": grey,
        "depth": depth,
    }


def oriented(pixels: Image, orientation: int) -> Image:
    """Turn and mirror what was stored with an EXIF orientation (1..8) so that it stands upright."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def fit(rgb: Image, longest_side: int) -> Image:
    """Scaled down by area so that the longer side is at most `longest_side` pixels; never scaled up."""
    height, width = rgb.shape[:2]
    factor = longest_side / max(height, width)
    if factor >= 1:
        return rgb
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def png_size(path: Path) -> tuple[int, int]:
    """Width and height from the header. Raises `StepFailed` when it is not a PNG."""
    with path.open("rb") as file:
        head = file.read(24)
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        raise StepFailed("a picture that was made is not a PNG", why=f"it starts with {head[:8].hex() or 'nothing'}")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def read_png(path: Path) -> Image:
    """A PNG that an engine made. Raises `StepFailed` when it cannot be decoded."""
    png_size(path)
    with without_chatter(_CODEC_CHATTER):
        bgr = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise StepFailed("a picture that was made cannot be decoded")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def write_png(path: Path, rgb: Image) -> None:
    """The same pixels always give the same bytes."""
    _write(path, ".png", rgb, [cv2.IMWRITE_PNG_COMPRESSION, 4])


def write_jpeg(path: Path, rgb: Image, quality: int = 92) -> None:
    """`quality`: 0..100. The same pixels always give the same bytes."""
    _write(path, ".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])


def thumbnail(path: Path, side: int) -> bytes:
    """The middle square of a PNG that an engine made, `side` pixels wide, as a JPEG.

    Raises `StepFailed` when it cannot be decoded.
    """
    rgb = read_png(path)
    height, width = rgb.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    small = cv2.resize(rgb[top : top + edge, left : left + edge], (side, side), interpolation=cv2.INTER_AREA)
    return _encoded(".jpg", small.astype(np.uint8, copy=False), [cv2.IMWRITE_JPEG_QUALITY, 82])


def _write(path: Path, suffix: str, rgb: Image, options: list[int]) -> None:
    path.write_bytes(_encoded(suffix, rgb, options))


def _encoded(suffix: str, rgb: Image, options: list[int]) -> bytes:
    done, encoded = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise StepFailed("a picture cannot be encoded")
    return encoded.tobytes()


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not an ordinary file"
            raise BadInput(f"the picture {path.name!r} is {kind}", hint="give the path of a JPEG, PNG or WebP file")
        if status.st_size > MAX_FILE_BYTES:
            raise BadInput(
                "the picture's file is too large",
                why=f"{status.st_size >> 20} MiB, at most {MAX_FILE_BYTES >> 20} MiB",
                hint="save it smaller, as JPEG",
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"there is no picture {str(path)!r}", hint="check the path") from None
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise BadInput(
            f"the picture {path.name!r} cannot be read", why=why, hint="check the path and its rights"
        ) from None


def _decoded(content: bytes, header: Header) -> NDArray[Any]:
    """As stored: grey, BGR or BGRA, uint8 or uint16, not turned."""
    flags = cv2.IMREAD_UNCHANGED
    if header.format == "JPEG" and max(header.width, header.height) >= 2 * LONGEST_SIDE:
        reduced = cv2.IMREAD_REDUCED_GRAYSCALE_2 if header.sample_bytes == 1 else cv2.IMREAD_REDUCED_COLOR_2
        flags = reduced | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        with without_chatter(_CODEC_CHATTER) as complaints:
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        raise BadInput(f"the {header.format} picture cannot be decoded", why=str(error.err)) from None
    if pixels is None or any(_DATA_ENDS_EARLY.search(line) for line in complaints):
        raise BadInput(
            f"the {header.format} picture is damaged",
            why="its data end early or make no sense",
            hint="copy or download it again, or choose another file",
        )
    return pixels


def _as_rgb(stored: NDArray[Any]) -> Image:
    """Grey, BGR or BGRA of 8 or 16 bits to RGB of 8, over white."""
    if stored.dtype == np.uint16:
        narrow = np.empty(stored.shape, np.uint8)
        for rows in _bands(len(stored)):
            narrow[rows] = (stored[rows].astype(np.uint32) + 128) // 257
        stored = narrow
    if stored.ndim == 2 or stored.shape[2] == 1:
        return cv2.cvtColor(stored, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    if stored.shape[2] == 3:
        return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    rgb = np.empty((*stored.shape[:2], 3), np.uint8)
    for rows in _bands(len(stored)):
        alpha = stored[rows, :, 3:].astype(np.uint16)
        rgb[rows] = (stored[rows, :, 2::-1] * alpha + 255 * (255 - alpha) + 127) // 255
    return rgb


def _bands(rows: int) -> list[slice]:
    return [slice(first, first + _BAND) for first in range(0, rows, _BAND)]
