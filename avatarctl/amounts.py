"""Amounts as people read them: the same on the terminal and on a page."""

from __future__ import annotations


def duration(value: float) -> str:
    """Seconds: 4 ms, 2.51 s, 42.3 s, 3 min 20 s, 2 h 5 min."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def milliseconds(value: float) -> str:
    """The same for the ledger's milliseconds."""
    return duration(value / 1000)


def size(count: float) -> str:
    """Bytes, by powers of ten: 812 B, 4.1 kB, 3.0 GB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
