"""What a process holds: resident memory, and memory of the GPU where torch uses one."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")


def report() -> dict[str, Any]:
    """`device`, `resident_peak` and, on a GPU, `allocated`, `reserved`, `peak`, `free`, `total`; bytes.

    torch is asked only if the engine has imported it.
    """
    found: dict[str, Any] = {"device": "cpu", "resident_peak": _resident_peak()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        found |= {
            "device": torch.cuda.get_device_name(),
            "allocated": torch.cuda.memory_allocated(),
            "reserved": torch.cuda.memory_reserved(),
            "peak": torch.cuda.max_memory_reserved(),
            "free": free,
            "total": total,
        }
    return found


def _resident_peak() -> int:
    """Bytes. On Linux `getrusage` still counts what the parent had when it started this process, VmHWM does not."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        for line in lines:
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an engine's exception means that memory ran out, on the GPU or off it."""
    torch = sys.modules.get("torch")
    kinds: tuple[type[BaseException], ...] = (MemoryError,)
    if torch is not None:
        kinds = (*kinds, torch.cuda.OutOfMemoryError)
    return isinstance(error, kinds) or "out of memory" in str(error).lower()


def release() -> None:
    """Give back what torch keeps for later."""
    import gc

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def ladder(sizes: Sequence[int], attempt: Callable[[int], Result], tell: Callable[[int], None]) -> Result:
    """Try `attempt` with each size of batch or tile in turn until one fits into memory.

    Args:
        sizes: falling; at least one.
        tell: called with the size that did not fit.

    Raises:
        MemoryError: not even the last one fitted.
    """
    for size in sizes:
        try:
            return attempt(size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            tell(size)
        # Outside the handler: a live traceback would keep the tensors of the failed attempt.
        release()
    raise MemoryError(f"not even {sizes[-1]} fits into memory")
