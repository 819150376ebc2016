"""Cores, memory, disk and GPU, by what the system and NVIDIA's driver say. No torch is needed to know them."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_MB = 2**20
_PROGRAM_SECONDS = 10.0
"""For NVIDIA's program, which takes some on a machine with many cards, and for ever where the driver hangs."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """The GPU with the most memory. `memory_mb` in MiB; `count` of all there are."""

    name: str
    memory_mb: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class Hardware:
    """`memory_mb` and `available_mb` in MiB, 0 where the system does not tell; `free_bytes` where models lie."""

    cores: int
    memory_mb: int
    available_mb: int
    free_bytes: int
    gpu: Gpu | None
    silent_card: bool = False
    """Whether there is a card of NVIDIA's that no driver speaks for."""

    @property
    def gpu_memory_mb(self) -> int:
        """Of the largest GPU, MiB; 0 without one."""
        return self.gpu.memory_mb if self.gpu else 0


def found(folder: Path) -> Hardware:
    """This machine. `folder`: where models go; it need not exist yet."""
    total, available = memory_mb()
    card = gpu()
    silent = card is None and (has_card() or may_have_gpu())
    return Hardware(len(os.sched_getaffinity(0)), total, available, free_bytes(folder), card, silent)


def memory_mb() -> tuple[int, int]:
    """Memory of this machine, or of the container around this process, and how much of it is free; MiB."""
    fields: dict[str, int] = {}
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            fields[name] = int(value.split()[0]) // 1024
        total, available = fields["MemTotal"], fields["MemAvailable"]
    except (OSError, ValueError, KeyError, IndexError):
        return 0, 0
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")) // _MB
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")) // _MB
        total, available = min(total, limit), min(available, max(0, limit - used))
    except (OSError, ValueError):
        pass  # No container, or one without a limit: "max".
    return total, available


def free_bytes(folder: Path) -> int:
    """Space on the disk that holds, or would hold, this folder."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def gpu() -> Gpu | None:
    """NVIDIA's largest GPU: from its driver's own program, or where that is missing (containers), its library."""
    found = _by_program() or [(name, total) for name, total, _ in _by_library()]
    if not found:
        return None
    name, memory = max(found, key=lambda one: one[1])
    return Gpu(name, memory, len(found))


def gpu_free_mb() -> int | None:
    """Memory of NVIDIA's largest GPU that nobody uses now, MiB; None where the driver's library does not tell."""
    found = _by_library()
    return max(found, key=lambda one: one[1])[2] if found else None


def has_card(devices: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Whether a display controller of NVIDIA's is plugged in (PCI vendor 10de, class 03), driver or not."""
    for device in devices.glob("*"):
        try:
            vendor, kind = ((device / name).read_text(encoding="ascii").strip() for name in ("vendor", "class"))
        except (OSError, UnicodeDecodeError):
            continue
        if vendor == "0x10de" and kind.startswith("0x03"):
            return True
    return False


def may_have_gpu() -> bool:
    """A look that costs nothing: whether the driver is there."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def _by_program() -> list[tuple[str, int]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_PROGRAM_SECONDS, check=True).stdout
        lines = [line.rpartition(",") for line in answer.splitlines() if line.strip()]
        return [(name.strip(), int(memory)) for name, _, memory in lines]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


class _Memory(ctypes.Structure):
    """`nvmlMemory_t` of NVML's API reference; bytes."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def _by_library() -> list[tuple[str, int, int]]:
    """Name, memory and free memory of each, MiB, through NVML; every call of it returns 0 when it went well."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    try:
        if nvml.nvmlInit_v2() != 0:
            return []
        try:
            count = ctypes.c_uint()
            if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
                return []
            return [one for i in range(count.value) if (one := _device(nvml, i)) is not None]
        finally:
            nvml.nvmlShutdown()
    except AttributeError:  # a library that is called so, and is another
        return []


def _device(nvml: ctypes.CDLL, index: int) -> tuple[str, int, int] | None:
    handle, name, memory = ctypes.c_void_p(), ctypes.create_string_buffer(96), _Memory()
    if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0:
        return None
    if nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) != 0:
        return None
    nvml.nvmlDeviceGetName(handle, name, len(name))
    return name.value.decode(errors="replace"), int(memory.total) // _MB, int(memory.free) // _MB
