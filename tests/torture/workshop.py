"""What every part of the torture shares: a home with somebody enrolled, a batch of small films, and what must hold."""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.tools import Studio

ROOT = Path(__file__).resolve().parent.parent.parent
MODELS = ROOT / ".venv" / "test-models"
FILE = "films.yaml"
WORDS = (
    *("ноль", "раз", "два", "три", "пять", "шесть", "семь", "восемь", "девять", "десять"),
    *("дом", "лес", "мост", "снег", "гром", "свет", "хлеб", "мир", "час", "друг"),
)
"""One film each, of about a second."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `holds` is None for a figure that is only told."""

    what: str
    measured: str
    wanted: str
    holds: bool | None = None


@dataclass
class Workshop:
    """Makes homes for the parts, and knows the films of an undisturbed run."""

    folder: Path
    seed: int
    quick: bool
    base: Studio
    whole: dict[str, bytes] = field(default_factory=dict)
    """The undisturbed films by name."""
    took: float = 0.0
    """Seconds of the undisturbed batch."""
    _count: int = 0

    @classmethod
    def make(cls, folder: Path, seed: int, quick: bool) -> Workshop:
        """Enrol somebody, and make every film once without disturbance."""
        import time

        (folder / "base" / "work").mkdir(parents=True)
        base = Studio(folder / "base" / "home", folder / "base" / "work", MODELS)
        (base.home / "config").mkdir(parents=True)
        (base.home / "config" / "avatarctl.toml").write_text("[animate]\nsize = 128\n[speak]\nrate = 2.0\n")
        base.ok("enroll", str(next((MODELS / "portrait-astronaut").glob("*.png"))), "--name", "astronaut")
        shop = cls(folder, seed, quick, base)
        studio = shop.studio()
        began = time.monotonic()
        studio.ok("batch", "run", FILE, timeout=600)
        shop.took = time.monotonic() - began
        shop.whole = films(studio)
        assert len(shop.whole) == len(WORDS)
        return shop

    def chance(self, name: str) -> random.Random:
        """The same dice for the same seed, whichever parts are asked for."""
        return random.Random(f"{self.seed} {name}")

    def studio(self, extra: str = "", words: tuple[str, ...] = WORDS) -> Studio:
        """A fresh home with a job file in its working folder. `extra`: lines at its end."""
        self._count += 1
        studio = self.base.copy(self.folder / f"home-{self._count}")
        write_jobs(studio, extra, words)
        return studio

    def drop(self, studio: Studio) -> None:
        """Give its room back."""
        shutil.rmtree(studio.home.parent, ignore_errors=True)

    def wrong(self, studio: Studio, *, all_there: bool = True) -> list[str]:
        """What must not be: films that differ, steps made twice, a torn ledger, leftovers."""
        found = [f"{name} differs" for name, data in films(studio).items() if data != self.whole.get(name, data)]
        if all_there:
            found += [f"{name} is missing" for name in wanted_films(studio) - films(studio).keys()]
            found += [f"{path} was left" for path in leftovers(studio)]
        found += [f"step {key} was made {count} times" for key, count in made_more_than_once(studio).items()]
        found += integrity(studio)
        return found


def write_jobs(studio: Studio, extra: str = "", words: tuple[str, ...] = WORDS) -> None:
    """The job file that the parts perform."""
    jobs = "".join(f"  - {{name: {word}, text: {word}.}}\n" for word in words)
    (studio.work / FILE).write_text(f"defaults: {{avatar: astronaut, preset: lite}}\njobs:\n{jobs}{extra}")


def wanted_films(studio: Studio) -> set[str]:
    """Names of the films of the words in the job file."""
    said = (studio.work / FILE).read_text()
    return {f"{word}.mp4" for word in WORDS if f"name: {word}," in said}


def films(studio: Studio) -> dict[str, bytes]:
    """Every film in outputs/ by its name."""
    return {p.name: p.read_bytes() for p in sorted((studio.work / "outputs").glob("*.mp4"))}


def ledger(studio: Studio) -> sqlite3.Connection:
    """As avatarctl opens it: what belongs to a deleted row goes with it."""
    connection = sqlite3.connect(studio.home / "ledger.sqlite", timeout=30)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def made(studio: Studio) -> Counter[str]:
    """How often each step was finished, by its key."""
    connection = ledger(studio)
    rows = connection.execute("SELECT key, count(*) FROM steps WHERE status = 'done' GROUP BY key").fetchall()
    connection.close()
    return Counter(dict(rows))


def made_more_than_once(studio: Studio) -> dict[str, int]:
    return {key: count for key, count in made(studio).items() if count > 1}


def integrity(studio: Studio) -> list[str]:
    """What SQLite has against the ledger; nothing if it is sound."""
    connection = ledger(studio)
    rows = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    rows += [f"foreign key: {row}" for row in connection.execute("PRAGMA foreign_key_check")]
    connection.close()
    return [row for row in rows if row != "ok"]


def leftovers(studio: Studio) -> list[Path]:
    """What lies where engines work, and half-delivered files."""
    inside = [p for p in (studio.home / "tmp").rglob("*") if p.is_file()]
    outputs = studio.work / "outputs"
    beside = [p for p in outputs.rglob("*") if p.suffix == ".part"] if outputs.exists() else []
    return inside + beside


def statuses(studio: Studio) -> Counter[str]:
    """How many jobs of the batch have each status."""
    found = studio.ok("batch", "status", FILE, "--json").json
    return Counter(job["status"] for job in found["jobs"])


def told(wrong: list[str]) -> str:
    """For the table: nothing, or the first of what is wrong."""
    return "nothing" if not wrong else f"{len(wrong)}: {'; '.join(wrong[:3])}"


def temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="avatarctl-torture-", ignore_cleanup_errors=True)
