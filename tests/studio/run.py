"""Make the environment of every engine that ships a lock, and one with llama.cpp's server; run the heavy tests, and say
what was not tried.

`run.py HOME [ENGINE ...]`: environments are kept in HOME/environments; `ray`, which is no engine, has one too, for the
tests of batches on several machines. The exit code is that of the tests; it is 1, too, if an environment that was asked
for cannot be made: its lock may be the reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import llama_server

from avatarctl.engines.contract import EngineSpec
from avatarctl.errors import AvatarctlError
from avatarctl.runtime import environments

FOLDER = Path(__file__).resolve().parent
RAY_TESTS = [FOLDER / "test_ray.py", FOLDER / "test_ray_batches.py", FOLDER.parent / "test_executors.py"]
RAY = environments.Installable(
    EngineSpec(stage="", name="ray", summary="", cache_version=0, factory="", packages=("ray", "s3fs", "moto")),
    FOLDER / "ray",
)


def lay_over_this_one(made: environments.Environment) -> None:
    """Let an environment find what this one has, too."""
    own = sysconfig.get_path("purelib", vars={"base": str(made.folder), "platbase": str(made.folder)})
    line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (Path(own) / "avatarctl-tests.pth").write_text(line, encoding="utf-8")


def main(home: Path, names: list[str]) -> int:
    place = home.absolute() / "environments"
    absent: dict[str, str] = {}
    failed, ray = False, ""
    for wanted in [*environments.installable(), RAY]:
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
        if wanted is RAY:
            lay_over_this_one(made)
            ray = str(made.interpreter)
        spent = f"made in {time.monotonic() - begun:.0f} s" if new else "there already"
        print(f"{wanted.name}: {spent}, Python {made.python}, torch for {made.build or 'nobody'}", flush=True)
    llama = ""
    if names and llama_server.NAME not in names:
        absent[llama_server.NAME] = "not asked for"
    else:
        try:
            llama = str(llama_server.interpreter(home.absolute() / "llama"))
        except llama_server.Absent as error:
            absent[llama_server.NAME] = str(error)
            failed = failed or error.blame
    # Threads that spin while they wait for each other slow everything down on few cores.
    environment = {**os.environ, "AVATARCTL_TEST_ENGINES": str(place), "OMP_WAIT_POLICY": "passive"}
    environment |= {"AVATARCTL_TEST_LLAMA": llama} if llama else {}
    others = [f"--ignore={path}" for path in RAY_TESTS]
    runs = [[sys.executable, "-m", "pytest", "-q", str(FOLDER), *others]] if names != [RAY.name] else []
    runs += [[ray, "-m", "pytest", "-q", *map(str, RAY_TESTS)]] if ray else []
    codes = [subprocess.run(command, env=environment, check=False).returncode for command in runs]
    for name, why in absent.items():
        print(f"not tried: {name}: {why}")
    return max([*codes, int(failed)])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
