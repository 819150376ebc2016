"""Many films: a batch against as many single commands, in two homes that differ in nothing; 10,000 jobs planned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from studio import Studio, Timed

SENTENCE = "Фильм номер {number} рассказывает о мастере, который починил {number} часов."
GREETING = "Это фильм номер {number}."
"""About 4.5 and 2 seconds of film, none like another."""


@dataclass(frozen=True)
class Compared:
    """The same films, made one by one and as a batch: seconds, and whether each film has the same bytes."""

    films: int
    single_wall: float
    single_cpu: float
    batch: Timed
    again: Timed
    alike: bool

    @property
    def ratio(self) -> float:
        """How many times faster the batch was."""
        return self.single_wall / self.batch.wall


@contextmanager
def _copied(studio: Studio, name: str) -> Iterator[Studio]:
    """The same home somewhere else, so that what one way makes is no hit for the other."""
    root = studio.root / name
    copy = replace(studio, root=root, cleanup=None)
    copy.work.mkdir(parents=True)
    shutil.copytree(studio.home, copy.home, symlinks=True)
    try:
        yield copy
    finally:
        shutil.rmtree(root)


def compare(studio: Studio, films: int, sentence: str = SENTENCE) -> Compared:
    """Make `films` short films both ways. Somebody has to be enrolled, and one film of them made, in `studio`.

    Half of the single commands are performed before the batch and half of them after it, so that a machine that
    becomes slower or faster meanwhile favours neither.
    """
    texts = [sentence.format(number=number) for number in range(1, films + 1)]
    with _copied(studio, "single") as alone, _copied(studio, "batch") as together:

        def singly(numbers: range) -> list[Timed]:
            return [alone.run("render", texts[i], "--out", f"{i:03}.mp4", "--quiet") for i in numbers]

        single = singly(range(films // 2))
        jobs = [{"text": text, "output": f"{i:03}"} for i, text in enumerate(texts)]
        (together.work / "films.jsonl").write_text("\n".join(json.dumps(job) for job in jobs), encoding="utf-8")
        command = ("batch", "run", "films.jsonl", "--out", ".", "--json")
        batch = together.run(*command, memory=True)
        single += singly(range(films // 2, films))
        again = together.run(*command)
        names = [f"{i:03}.mp4" for i in range(films)]
        alike = all((alone.work / name).read_bytes() == (together.work / name).read_bytes() for name in names)
    return Compared(films, sum(s.wall for s in single), sum(s.cpu for s in single), batch, again, alike)


def plan(studio: Studio, jobs: int) -> Timed:
    """`batch check` of so many jobs."""
    path = studio.work / "plan.jsonl"
    lines = (json.dumps({"text": SENTENCE.format(number=number)}) for number in range(jobs))
    path.write_text("\n".join(lines), encoding="utf-8")
    return studio.run("batch", "check", str(path), "--json", memory=True)
