"""An environment with llama.cpp's server, built from its source, as small and as quickly as it will do for a test.

It has no wheel. With these options the build takes about five minutes of a CPU instead of ten, once: the environment is
kept, and pip keeps what it has built.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

LOCKS = Path(__file__).parent / "llama"
NAME = "llama.cpp"
OPTIONS = (
    "-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF -DGGML_CPU_REPACK=OFF -DGGML_LLAMAFILE=OFF "
    "-DCMAKE_CXX_FLAGS_RELEASE=-O0 -DCMAKE_C_FLAGS_RELEASE=-O1"
)
"""No pictures, no arithmetic for this very CPU, and hardly any optimisation: what is tried is the server."""


class Absent(Exception):
    """It cannot be had here. `blame`: its locks may be the reason, and not this machine."""

    def __init__(self, why: str, *, blame: bool) -> None:
        super().__init__(why)
        self.blame = blame


def interpreter(folder: Path) -> Path:
    """The Python that has it; built now, unless it is there.

    Raises:
        Absent: no compiler, or pip fails.
    """
    locks = [LOCKS / "requirements.lock", LOCKS / "source.lock"]
    digest = hashlib.sha256(b"\0".join([OPTIONS.encode(), *(lock.read_bytes() for lock in locks)])).hexdigest()
    python, stamp = folder / "bin" / "python", folder / "made"
    if stamp.is_file() and stamp.read_text(encoding="ascii") == digest:
        print(f"{NAME}: there already", flush=True)
        return python
    if shutil.which("c++") is None or shutil.which("cc") is None:
        raise Absent("there is no C++ compiler here", blame=False)
    begun = time.monotonic()
    venv.create(folder, clear=True, with_pip=False)
    _pip(python, "--only-binary", ":all:", "--requirement", str(locks[0]))
    _pip(python, "--no-binary", ":all:", "--no-build-isolation", "--requirement", str(locks[1]))
    # Last, so that what was interrupted is done again.
    stamp.write_text(digest, encoding="ascii")
    print(f"{NAME}: built in {time.monotonic() - begun:.0f} s", flush=True)
    return python


def _pip(python: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install"]
    command += ["--no-input", "--require-hashes", "--no-deps", "--quiet", *arguments]
    # The build finds cmake and ninja on PATH.
    path = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "CMAKE_ARGS": OPTIONS, "PYTHONNOUSERSITE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        raise Absent((errors or done.stderr.splitlines() or ["pip failed"])[-1], blame=True)
