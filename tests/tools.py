"""What the process tests share: running the command line, and a home with somebody enrolled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(home: Path, models: Path, **extra: str) -> dict[str, str]:
    """The environment of a command with a home of its own and no network."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AVATARCTL_")}
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "models").exists():
        (home / "models").symlink_to(models, target_is_directory=True)
    # The tests' models hold an upscaler's too; restoring a portrait takes it half a minute.
    settings = {"AVATARCTL_HOME": str(home), "AVATARCTL_OFFLINE": "1", "AVATARCTL_RIG_DETAILED": "off"}
    return {**kept, **settings, "NO_COLOR": "1", **extra}


@dataclass(frozen=True)
class Studio:
    """A home and a working folder."""

    home: Path
    work: Path
    models: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "avatarctl", *arguments]

    def environment(self, **extra: str) -> dict[str, str]:
        return environment(self.home, self.models, **extra)

    def run(self, *arguments: str, stdin: str = "", timeout: float = 180, **extra: str) -> Result:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.work,
            env=self.environment(**extra),
            input=stdin.encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *arguments: str, **options: Any) -> Result:
        result = self.run(*arguments, **options)
        assert result.code == 0, result.err
        return result

    def start(self, *arguments: str, **extra: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.work,
            env=self.environment(**extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def copy(self, folder: Path) -> Studio:
        """The same home somewhere else, to be changed at will."""
        folder.mkdir(parents=True)
        shutil.copytree(self.home, folder / "home", symlinks=True)
        (folder / "work").mkdir()
        return Studio(folder / "home", folder / "work", self.models)

    def delivered(self) -> list[str]:
        """Names of what lies in outputs/."""
        folder = self.work / "outputs"
        return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def refused(result: Result, code: int, *words: str) -> None:
    """One clear error: the exit code, what and what to do, no traceback, nothing on stdout."""
    assert result.code == code, (result.code, result.err)
    assert result.out == ""
    assert "Traceback" not in result.err
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.err
    for word in words:
        assert word.lower() in result.err.lower(), (word, result.err)
