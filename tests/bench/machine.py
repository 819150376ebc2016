"""Which machine the figures are from: without it they mean nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import psutil

from avatarctl import __version__
from avatarctl.media import ffmpeg


def describe() -> list[str]:
    """Processor, memory, versions, and how busy the machine is already."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 2**30
    banner = subprocess.run([ffmpeg.binary(), "-version"], capture_output=True, text=True, check=True).stdout
    return [
        f"{_processor()}, {cores} cores, {memory:.0f} GB, {platform.system()} {platform.machine()}",
        f"avatarctl {__version__}, Python {platform.python_version()}, {' '.join(banner.split()[:3])}",
        f"load before the start: {psutil.getloadavg()[0]:.2f}",
    ]


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "unknown processor"
