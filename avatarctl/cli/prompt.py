"""Questions to the person at the terminal. Off a terminal nothing is ever asked."""

from __future__ import annotations

import sys

from avatarctl.cli.options import state


def can_ask() -> bool:
    """Whether somebody is there to answer: both ways lead to a terminal, and neither --quiet nor --json was given."""
    return not (state.quiet or state.json) and sys.stdin.isatty() and sys.stderr.isatty()


def agreed(question: str) -> bool:
    """Ask on stderr; anything but a yes is a no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes", "д", "да"}
