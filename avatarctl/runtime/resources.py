"""What the machine gives: peak memory of this process."""

from __future__ import annotations

import resource
import sys


def peak_memory_mb() -> float:
    """The most resident memory this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
