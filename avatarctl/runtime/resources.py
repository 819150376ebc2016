"""What the machine gives: peak memory of this process, memory of the GPU."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from functools import cache


def peak_memory_mb() -> float:
    """The most resident memory this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


@cache
def gpu_memory_mb() -> int:
    """Memory of the largest NVIDIA GPU, MiB; 0 where there is none. The driver's own tool is asked, not torch."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    query = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        return max((int(line) for line in answer.split()), default=0)
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0
