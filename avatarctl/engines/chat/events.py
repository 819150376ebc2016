"""Server-sent events out of bytes that are cut anywhere (WHATWG HTML, 9.2.6 "Interpreting an event stream")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

MOST_BYTES = 4 << 20
"""Of one line; a longer one is no event of a chat."""


def events(blocks: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Name (`message` where none is given) and data of each event that is complete.

    Raises:
        ValueError: a line that never ends.
    """
    name, data = "", list[str]()
    for line in _lines(blocks):
        if not line:
            if data:
                yield name or "message", "\n".join(data)
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "error":
            # Not of the standard: older llama.cpp servers tell of a failure in this way.
            yield "error", value


def _lines(blocks: Iterable[bytes]) -> Iterator[str]:
    """Lines that end with LF, CR or CRLF. One that the end of the stream cuts off is dropped, as the standard wants.

    A CR ends its line at once: an LF that follows it, perhaps in the next block, belongs to it.
    """
    waiting, after_cr, first = b"", False, True
    for block in blocks:
        if after_cr and block.startswith(b"\n"):
            block = block[1:]
        if not block:
            continue
        after_cr = block.endswith(b"\r")
        *whole, waiting = (waiting + block).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if len(waiting) > MOST_BYTES:
            raise ValueError("a line that never ends")
        for line in whole:
            text = line.decode("utf-8", "replace")
            yield text.removeprefix("\ufeff") if first else text
            first = False
