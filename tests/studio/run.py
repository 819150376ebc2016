"""Make the environment of every engine that ships a lock, run the heavy tests, and say which engines were not tried.

`run.py HOME [ENGINE ...]`: environments are kept in HOME/environments. The exit code is that of the tests; it is 1,
too, if the environment of an engine that was asked for cannot be made: its lock may be the reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from avatarctl.errors import AvatarctlError
from avatarctl.runtime import environments

FOLDER = Path(__file__).resolve().parent


def main(home: Path, names: list[str]) -> int:
    place = home.absolute() / "environments"
    absent: dict[str, str] = {}
    failed = False
    for wanted in environments.installable():
        if names and wanted.name not in names:
            absent[wanted.name] = "not asked for"
            continue
        begun = time.monotonic()
        try:
            made, new = environments.install(wanted, place)
        except AvatarctlError as error:
            absent[wanted.name] = f"{error.what}: {error.why}" if error.why else error.what
            failed = True
            continue
        spent = f"made in {time.monotonic() - begun:.0f} s" if new else "there already"
        print(f"{wanted.name}: {spent}, Python {made.python}, torch for {made.build or 'nobody'}", flush=True)
    # Threads that spin while they wait for each other slow everything down on few cores.
    environment = {**os.environ, "AVATARCTL_TEST_ENGINES": str(place), "OMP_WAIT_POLICY": "passive"}
    tests = subprocess.run([sys.executable, "-m", "pytest", "-q", str(FOLDER)], env=environment, check=False)
    for name, why in absent.items():
        print(f"not tried: {name}: {why}")
    return tests.returncode or int(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
