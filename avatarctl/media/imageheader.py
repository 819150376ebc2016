"""What a picture's bytes say about it before anything is decoded.

Format (by content, never by suffix), size, orientation, and whether the file goes on to its end: decoders
fill what is missing with grey and say nothing.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from avatarctl.errors import BadInput

MAX_SIDE = 20_000
MAX_PIXELS = 100_000_000
MAX_DECODED_BYTES = 400 << 20

_CONVERT = "save it as JPEG or PNG and give that file"


@dataclass(frozen=True, slots=True)
class Header:
    """`width`, `height`: pixels as stored, before `orientation` (EXIF, 1..8) is applied.

    `sample_bytes`: bytes that one decoded pixel takes.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    sample_bytes: int = 3


def read_header(content: bytes) -> Header:
    """The header of a JPEG, PNG or WebP file.

    Raises:
        BadInput: another format, an animation, a damaged header, more pixels than are decoded here, or a file
            that ends too early. The size is judged first: a bomb is refused as one even when it is cut short.
    """
    if not content:
        raise BadInput("the picture is empty", why="the file has no bytes", hint="choose another file")
    name = sniff(content)
    readers = {"JPEG": _jpeg, "PNG": _png, "WebP": _webp}
    if name not in readers:
        raise BadInput(
            f"the picture is {article(name)}" if name else "the file is not a picture",
            why="only JPEG, PNG and WebP are read",
            hint=_advice(name),
        )
    try:
        header = readers[name](content)
    except (struct.error, IndexError):
        raise _broken(name, "its header is damaged or ends too early") from None
    return header


def _judged(header: Header) -> Header:
    width, height = header.width, header.height
    if width < 1 or height < 1:
        raise _broken(header.format, "its header gives no size")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise BadInput(
            "the picture is too large",
            why=f"{width} x {height} pixels; at most {MAX_SIDE} a side and {MAX_PIXELS // 1_000_000} megapixels",
            hint="scale it down: 4096 pixels on the longer side are enough",
        )
    if width * height * header.sample_bytes > MAX_DECODED_BYTES:
        raise BadInput(
            "the picture is too large",
            why=f"{width} x {height} pixels of {header.sample_bytes} bytes",
            hint="scale it down, or save it with 8 bits a channel",
        )
    return header


def sniff(content: bytes) -> str:
    """The format's name from the first bytes; empty when it is none that people take for a picture."""
    brand = content[8:12]
    if content[4:8] == b"ftyp":
        if brand in (b"avif", b"avis"):
            return "AVIF"
        return "HEIC" if brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1") else "video"
    if content[:4] == b"RIFF" and brand == b"WEBP":
        return "WebP"
    for magic, name in _MAGIC:
        if content.startswith(magic):
            return name
    if re.search(rb"<svg[\s>]", content[:4096]):
        return "SVG"
    return ""


_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"BM", "BMP"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\x1aE\xdf\xa3", "video"),
)


def article(name: str) -> str:
    """`a PNG file`, `an ICO file`, `a video`."""
    article = "an" if name in ("AVIF", "HEIC", "ICO", "SVG") else "a"
    return f"{article} {name}" if name == "video" else f"{article} {name} file"


def _advice(name: str) -> str:
    if name == "GIF":
        return "GIF has too few colours and may move: give the original photo as JPEG or PNG"
    if name == "HEIC":
        return "export it as JPEG (iPhone: Settings, Camera, Formats, Most Compatible)"
    if name == "video":
        return "give a still photo: save one frame of it as PNG"
    if name in ("PDF", "SVG", "PostScript"):
        return "give a photo: a JPEG, PNG or WebP file"
    return _CONVERT if name else "give a photo as JPEG, PNG or WebP"


def _broken(name: str, why: str) -> BadInput:
    return BadInput(f"the {name} picture is damaged", why=why, hint="copy or download it again, or choose another file")


def _cut_short(name: str) -> BadInput:
    return _broken(name, "the file ends before the picture does")


_JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
"""The next marker in entropy-coded data, where 0xFF00 is a byte of data and 0xFFD0-D7 are restarts."""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_END, _JPEG_SCAN, _JPEG_APP1 = 0xD9, 0xDA, 0xE1


def _jpeg(content: bytes) -> Header:
    header: Header | None = None
    orientation = 1
    for marker, start, length in _jpeg_segments(content):
        if marker == _JPEG_APP1 and content[start : start + 6] == b"Exif\0\0":
            orientation = exif_orientation(content[start + 6 : start + length])
        elif marker in _JPEG_FRAMES and header is None:
            height, width, components = struct.unpack_from(">HHB", content, start + 1)
            header = _judged(Header("JPEG", width, height, sample_bytes=1 if components == 1 else 3))
    if header is None:
        raise _broken("JPEG", "it has no frame")
    return replace(header, orientation=orientation)


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and length of every segment's content, up to the end of the picture, which has to be there."""
    position = 2
    while True:
        found = _JPEG_MARKER.search(content, position)
        if found is None:
            raise _cut_short("JPEG")
        marker, position = found[1][0], found.end()
        if marker == _JPEG_END:
            return
        if marker in (0x01, 0xD8):
            continue
        if position + 2 > len(content):
            raise _cut_short("JPEG")
        (length,) = struct.unpack_from(">H", content, position)
        if length < 2 or position + length > len(content):
            raise _cut_short("JPEG")
        yield marker, position + 2, length - 2
        position += length


def _png(content: bytes) -> Header:
    header: Header | None = None
    orientation = 1
    position = 8
    while True:
        if position + 12 > len(content):
            raise _cut_short("PNG")
        length, kind = struct.unpack_from(">I4s", content, position)
        body, end = position + 8, position + 8 + length
        if end + 4 > len(content):
            raise _cut_short("PNG")
        (checksum,) = struct.unpack_from(">I", content, end)
        critical = kind[:1].isupper()
        if critical and zlib.crc32(memoryview(content)[position + 4 : end]) != checksum:
            raise _broken("PNG", f"the checksum of its part {kind.decode('latin-1')!r} is wrong")
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", content, body)
            channels = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}.get(colour, 4)
            header = _judged(Header("PNG", width, height, sample_bytes=channels * (2 if depth == 16 else 1)))
        elif kind == b"eXIf":
            orientation = exif_orientation(content[body:end])
        elif kind == b"IEND":
            break
        position = end + 4
    if header is None:
        raise _broken("PNG", "it has no header")
    return replace(header, orientation=orientation)


def _webp(content: bytes) -> Header:
    (size,) = struct.unpack_from("<I", content, 4)
    width = height = 0
    orientation = 1
    position = 12
    while position + 8 <= min(len(content), size + 8):
        kind, length = struct.unpack_from("<4sI", content, position)
        body = position + 8
        if kind == b"ANIM":
            raise BadInput("the WebP picture is an animation", why="a still photo is needed", hint=_CONVERT)
        if kind == b"VP8X":
            width = 1 + int.from_bytes(content[body + 4 : body + 7], "little")
            height = 1 + int.from_bytes(content[body + 7 : body + 10], "little")
        elif kind == b"VP8 " and not width:
            width, height = (v & 0x3FFF for v in struct.unpack_from("<HH", content, body + 6))
        elif kind == b"VP8L" and not width:
            (bits,) = struct.unpack_from("<I", content, body + 1)
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind == b"EXIF":
            block = content[body : body + length]
            orientation = exif_orientation(block.removeprefix(b"Exif\0\0"))
        position = body + length + (length & 1)
    header = _judged(Header("WebP", width, height, orientation, 4))
    if size + 8 > len(content):
        raise _cut_short("WebP")
    return header


def exif_orientation(block: bytes) -> int:
    """The orientation, 1..8, that a TIFF-style EXIF block gives; 1 when it gives none or is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (first,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, first)
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, first + 2 + 12 * entry)
            if tag == 0x0112 and kind == 3:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
