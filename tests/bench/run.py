"""`make bench`: measures what the design promises, and prints a Markdown table with the machine's name.

Every figure is the median of several runs. Commands are timed as a user meets them: a fresh process, from
its start to its end, in a home where the avatar is enrolled and nothing else of the film is known.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gpu
import inside
import machine
import many
import texts
import upscaling
import workers
from studio import Studio, Timed

ROOT = Path(__file__).resolve().parent.parent.parent
PLANNED = 10_000
FILM = ("--render", "--set", "answer.max_sentences=6")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    target: str


@dataclass
class Bench:
    """The studio, how often to repeat, and where the time of the films went."""

    studio: Studio
    repeat: int
    full: bool
    asked: int = 0
    stages: dict[str, list[float]] = field(default_factory=dict)

    def new_question(self) -> str:
        """A question about a document that was not there before."""
        name, document, question = texts.tower(self.asked)
        self.asked += 1
        path = self.studio.work / name
        path.write_text(document, encoding="utf-8")
        self.studio.run("knowledge", "add", str(path))
        return question

    def ask(self, question: str, *options: str, memory: bool = False) -> Timed:
        """Ask for a film."""
        return self.studio.run("ask", question, *FILM, *options, memory=memory)

    def note_stages(self) -> None:
        """Remember the milliseconds of each stage of the last run."""
        sums: dict[str, float] = {}
        for step in self.studio.steps():
            if step["status"] == "done":
                for part in ("load_ms", "run_ms"):
                    name = f"{step['stage']}, {part.removesuffix('_ms')}"
                    sums[name] = sums.get(name, 0.0) + step[part]
        for name, milliseconds in sums.items():
            self.stages.setdefault(name, []).append(milliseconds)


def start_up(bench: Bench) -> list[Row]:
    walls = [bench.studio.run("--help").wall for _ in range(5 * bench.repeat)]
    return [Row("`avatarctl --help`, wall", f"{statistics.median(walls):.3f} s", "<= 0.20 s")]


def films(bench: Bench) -> list[Row]:
    """A new answer each time; then the last one again, from the cache."""
    bench.ask(bench.new_question())  # reads every file once, so that the disk is not what is measured
    factors, busy, firsts, seconds = [], [], [], []
    question = ""
    for _ in range(bench.repeat):
        question = bench.new_question()
        made = bench.ask(question)
        length = _length(bench)
        factors.append(made.wall / length)
        busy.append(made.cpu / length)
        firsts.append(made.first("done", "animate"))
        seconds.append(length)
        bench.note_stages()
    cached = [bench.ask(question).wall for _ in range(3 * bench.repeat)]
    spoken = statistics.median(seconds)
    return [
        Row("fully cached `ask --render`, wall", f"{statistics.median(cached):.3f} s", "<= 0.50 s"),
        Row(
            f"`ask --render`, {spoken:.0f} s of speech at 512, cold process: real-time factor",
            f"{statistics.median(factors):.3f} ({statistics.median(busy):.3f} processor seconds a second)",
            "<= 0.35",
        ),
        Row("first sentence's clip ready after", f"{statistics.median(firsts):.2f} s", "<= 2 s"),
    ]


def _length(bench: Bench) -> float:
    """Seconds of the film of the last run, by its finished picture."""
    from avatarctl.media import probe

    outputs = bench.studio.json("runs", "show", "last")["run"]["outputs"]
    film = next(o["path"] for o in outputs if o["role"] == "film")
    video = probe.decode_all(Path(film)).video
    assert video is not None
    return float(video.duration)


def puppet(bench: Bench) -> list[Row]:
    rows = []
    for size, target in ((512, 10), (1024, 22)):
        bench.studio.run("render", texts.chronicle(5, edition=size), "--set", f"animate.size={size}")
        cost = inside.puppet_ms_per_frame(bench.studio, bench.repeat)
        rows.append(Row(f"puppet at {size}, drawn and encoded, a frame", f"{cost:.1f} ms", f"<= {target} ms"))
    return rows


def memory(bench: Bench) -> list[Row]:
    """The command's own peak, and with ffmpeg beside it."""
    lengths = (20, 120, 600) if bench.full else (20, 120)
    rows = []
    for seconds in lengths:
        text = bench.studio.work / f"chronicle-{seconds}.txt"
        text.write_text(texts.chronicle(seconds, edition=seconds), encoding="utf-8")
        made = bench.studio.run("render", "--file", str(text), memory=True)
        said = f"{_length(bench):.0f} s of speech, {made.wall:.0f} s of work"
        rows.append(_memory_row(f"peak RSS, {said}", made))
    if bench.full:
        speech = _speech_of_last_run(bench)
        made = bench.studio.run("render", "--audio", str(speech), memory=True)
        rows.append(_memory_row(f"peak RSS, {_length(bench):.0f} s in one clip", made))
    return rows


def _memory_row(what: str, made: Timed) -> Row:
    return Row(what, f"{made.own_memory:.0f} MB (with ffmpeg {made.all_memory:.0f} MB)", "<= 450 MB, flat")


def _speech_of_last_run(bench: Bench) -> Path:
    """All that was said, as one recording."""
    from avatarctl.media import ffmpeg

    outputs = bench.studio.json("runs", "show", "last")["run"]["outputs"]
    film = next(Path(o["path"]) for o in outputs if o["role"] == "film")
    sound = bench.studio.work / "speech.wav"
    ffmpeg.run(
        ffmpeg.sink(ffmpeg.source(film, ffmpeg.FILM_FORMATS).audio, path=sound), what="taking the sound out of a film"
    )
    return sound


def runner(bench: Bench) -> list[Row]:
    before = inside.runner_ms_per_cached_step(bench.studio, bench.repeat)
    inside.fill_ledger(bench.studio)
    after = inside.runner_ms_per_cached_step(bench.studio, bench.repeat)
    return [
        Row("runner, per cached step", f"{before:.2f} ms", "<= 3 ms"),
        Row(f"runner, per cached step, {inside.LEDGER_ROWS:,} steps in the ledger", f"{after:.2f} ms", "<= 3 ms"),
    ]


def worker(bench: Bench) -> list[Row]:
    added, warm, cold = workers.round_trip(bench.repeat)
    return [
        Row("worker, round trip of a step", f"{added:.1f} ms", "<= 5 ms"),
        Row("espeak-ng in a worker, first step / later ones", f"{cold:.0f} ms / {warm:.1f} ms", ""),
    ]


def eight_at_once(bench: Bench) -> list[Row]:
    """The same new question from eight processes: who made what, and are the films the same?"""
    question = bench.new_question()
    known = {r["id"] for r in bench.studio.json("runs", "list", "--limit", "0")["runs"]}
    processes = [bench.studio.start("ask", question, *FILM, "--out", f"film-{i}.mp4", "--quiet") for i in range(8)]
    ended = [(p.communicate(), p.returncode) for p in processes]
    failed = [err for (_, err), code in ended if code != 0]
    films = {(bench.studio.work / f"film-{i}.mp4").read_bytes() for i in range(8)} if not failed else set()
    made: dict[str, int] = {}
    for run in bench.studio.json("runs", "list", "--limit", "0")["runs"]:
        if run["id"] not in known:
            for step in bench.studio.steps(run["id"]):
                made[step["key"]] = made.get(step["key"], 0) + (step["status"] == "done")
    most = max(made.values())  # a step that was made before this question, as the rig was, counts as 0
    steps = f"{sum(count > 0 for count in made.values())} steps, " + (
        "each once" if most == 1 else f"up to {most} times"
    )
    alike = "all alike" if len(films) == 1 else f"{len(films)} kinds of them"
    measured = f"{steps}; {8 - len(failed)} films, {alike}"
    return [Row("8 processes, the same question at once", measured, "each step once; 8 films, all alike")]


def many_films(bench: Bench) -> list[Row]:
    """Throughput. Both ways are timed in this run, so the ratio holds where the seconds depend on the machine."""
    bench.studio.run("render", "Раз.")  # the rig is made once for a person, whichever way
    films = 50 if bench.full else 12
    found = many.compare(bench.studio, films)
    shorter = many.compare(bench.studio, films, many.GREETING)
    planned = many.plan(bench.studio, PLANNED)
    return [
        _faster(found, "4.5 s"),
        _faster(shorter, "2 s"),
        Row("the same batch again", f"{found.again.wall:.2f} s", "<= 3 s for 50"),
        _memory_row("peak RSS of the batch", found.batch),
        Row(f"{PLANNED:,} jobs planned", f"{planned.wall:.1f} s, {planned.own_memory:.0f} MB", "<= 10 s, <= 300 MB"),
    ]


def _faster(found: many.Compared, length: str) -> Row:
    """A batch against single commands."""
    return Row(
        f"{found.films} films of about {length} in one batch against {found.films} single commands",
        f"{found.ratio:.2f} times faster ({found.batch.wall:.1f} s, {found.single_wall:.1f} s; "
        f"processor {found.batch.cpu:.1f} s, {found.single_cpu:.1f} s), "
        f"{'same bytes' if found.alike else 'OTHER BYTES'}",
        ">= 1.8 on 2 cores",
    )


def upscaler(bench: Bench) -> list[Row]:
    """Real-ESRGAN's films against the plain ncnn package, and a portrait."""
    return [Row(*row) for row in upscaling.rows(bench.studio)]


def on_a_gpu(bench: Bench) -> list[Row]:
    """The heavy engines at their true size, where there is a GPU."""
    return [Row(*row) for row in gpu.rows(bench.studio.models)]


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "start-up": start_up,
    "films": films,
    "puppet": puppet,
    "memory": memory,
    "worker": worker,
    "eight": eight_at_once,
    "many": many_films,
    "upscaler": upscaler,
    "gpu": on_a_gpu,
    "runner": runner,  # last: it fills the ledger
}


def table(headers: list[str], rows: list[list[Any]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="this part; may be given many times")
    parser.add_argument("--repeat", type=int, default=3, help="runs for each figure (default 3)")
    parser.add_argument("--full", action="store_true", help="ten minutes of speech, 50 films")
    parser.add_argument("--models", type=Path, default=ROOT / ".venv" / "test-models", help="folder of models")
    options = parser.parse_args()
    print("\n".join(f"- {line}" for line in machine.describe()) + "\n", flush=True)
    studio = Studio.make(options.models)
    try:
        bench = Bench(studio, options.repeat, options.full)
        portrait = options.models / "portrait-astronaut" / "astronaut.png"
        studio.run("enroll", str(portrait), "--name", "astronaut", "--consent-by", "NASA, public domain")
        rows: list[Row] = []
        for name in options.only or list(PARTS):
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            rows += PARTS[name](bench)
    finally:
        studio.close()
    print(table(["what", "measured", "target"], [[r.what, r.measured, r.target] for r in rows]))
    if bench.stages:
        print("\nWhere the time of these films goes (stages overlap, so this is more than the wall):\n")
        spent = [[name, f"{statistics.median(times):.0f} ms"] for name, times in bench.stages.items()]
        print(table(["stage", "all its steps"], spent))


if __name__ == "__main__":
    main()
