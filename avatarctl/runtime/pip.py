"""pip as a program: what a lock names, put into another environment, from where the user's pip is set to look."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from avatarctl.errors import Unavailable

_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
_LAST_WORDS = 30
"""Lines of pip's that are kept, for when it fails."""
_FOR_OTHER_ENDS = ("TARGET", "PREFIX", "ROOT", "USER", "NO_BINARY", "CONSTRAINT", "REQUIREMENT", "EDITABLE", "PYTHON")
"""Settings of pip that install elsewhere, or something else: they are not meant for this."""


def pins(locks: Iterable[Path]) -> dict[str, str]:
    """Versions by name. Entries of other systems and Pythons are among them."""
    return {name: version for lock in locks for name, version in _PINNED.findall(lock.read_text(encoding="utf-8"))}


def fill(
    interpreter: Path, locks: list[Path], build: str, offline: bool, progress: Callable[[int, int, str], None]
) -> None:
    """Install what the locks name into the environment of `interpreter`, checked by hash.

    Args:
        build: of torch, for what is said when it is not found.
        offline: look into folders only.
        progress: packages found, of how many, and what pip says of the present one.

    Raises:
        Unavailable: pip failed.
    """
    # -P: a file called pip.py in the working folder must not be run in pip's place.
    command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "--python", str(interpreter)]
    command += ["install", "--no-input", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile"]
    command += ["--no-warn-script-location", "--progress-bar", "off"]
    command += ["--no-index"] if offline else []
    for lock in locks:
        command += ["--requirement", str(lock)]
    environment = {k: v for k, v in os.environ.items() if k not in {f"PIP_{name}" for name in _FOR_OTHER_ENDS}}
    environment |= {"PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONPATH", None)
    total, found = len(pins(locks)), 0
    last: deque[str] = deque(maxlen=_LAST_WORDS)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    ) as child:
        try:
            assert child.stdout is not None
            for raw in child.stdout:
                line = raw.decode("utf-8", "replace").strip()
                last.append(line)
                found += line.startswith(("Collecting ", "Processing ", "Ignoring "))
                if line.startswith(("Collecting ", "Processing ", "Downloading ", "Installing ")):
                    progress(found, total, line)
        except BaseException:
            child.terminate()
            raise
    if child.returncode != 0:
        raise _refused(interpreter, list(last), build, offline)


def _refused(interpreter: Path, last: list[str], build: str, offline: bool) -> Unavailable:
    """What pip's last words mean."""
    what, text = "the environment cannot be made: pip failed", "\n".join(last)
    errors = [line.removeprefix("ERROR: ") for line in last if line.startswith("ERROR: ")]
    # Versions for other Pythons come first, as an error of their own, and are never the one that was looked for.
    errors = [line for line in errors if not line.startswith("Ignored the following")] or errors
    why = (errors or last or ["it said nothing"])[0]
    if "No module named pip" in text:
        return Unavailable("this Python has no pip", hint=f"{sys.executable} -m ensurepip")
    if "No space left on device" in text:
        return no_room(interpreter.parent, why)
    if "DO NOT MATCH THE HASHES" in text:
        why = "a package has other bytes than the lock says"
        return Unavailable(what, why=why, hint="look at pip's settings (pip config list): which index gave it?")
    if build == "cpu" and re.search(r"torch==\S+\+cpu", why):
        hint = "set PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS to a place that has torch's CPU wheels, or add --torch cuda"
        return Unavailable("no torch for the CPU was found where pip is set to look", why=why, hint=hint)
    if offline:
        hint = "unset AVATARCTL_OFFLINE, or name a folder with all wheels to pip (pip config list; PIP_FIND_LINKS=...)"
        return Unavailable(what, why=why, hint=hint)
    return Unavailable(what, why=why, hint="look at pip's settings (pip config list), then try again")


def no_room(folder: Path, why: str) -> Unavailable:
    """The error of a full disk."""
    free = shutil.disk_usage(folder).free / 1e9
    return Unavailable("the disk is full", why=f"{why}; {free:.1f} GB are free", hint="make room, then try again")
