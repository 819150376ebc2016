"""Ids and times: ULIDs that sort by when they were made, and UTC times in ISO form."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 80

_guard = threading.Lock()
_last = 0


def new_id() -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits, as 26 characters of Crockford's base 32.

    Within a process each is greater than the one before, even where the clock goes backwards.
    """
    global _last
    with _guard:
        fresh = (time.time_ns() // 1_000_000) << _RANDOM_BITS | int.from_bytes(os.urandom(10))
        # The same or an earlier millisecond: count on from the last one, with a step that cannot be guessed.
        _last = fresh if fresh >> _RANDOM_BITS > _last >> _RANDOM_BITS else _last + 1 + int.from_bytes(os.urandom(4))
        number = _last
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def now() -> str:
    """The present time in UTC: `2031-02-03T04:05:06.789Z`."""
    return iso(datetime.now(UTC))


def iso(moment: datetime) -> str:
    """`moment`, which has a time zone, in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
