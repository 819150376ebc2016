"""SIGTERM, SIGHUP and SIGINT in every stage and at random moments; a second one; and a reader who goes away."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence

from tests.tools import Studio
from tests.torture.workshop import FILE, WORDS, Row, Workshop, films, ledger, leftovers, told

FEW = WORDS[:4]
STAGES = ("speak", "animate", "finish", "check")
LONGEST = 10.0


def signals(shop: Workshop) -> list[Row]:
    """Whoever asks a batch to end has its jobs back in the queue within ten seconds."""
    chance = shop.chance("signals")
    term, hang_up, interrupt = signal.SIGTERM, signal.SIGHUP, signal.SIGINT
    tries: list[tuple[str, float, Sequence[signal.Signals]]] = [(stage, 0.05, [term]) for stage in STAGES]
    tries += [("speak", 0.0, [hang_up]), ("animate", 0.0, [interrupt]), ("animate", 0.0, [term, term])]
    tries += [("", chance.uniform(0.0, 3.0), [chance.choice([term, hang_up])]) for _ in range(0 if shop.quick else 20)]
    wrong: list[str] = []
    slowest = 0.0
    for stage, delay, numbers in tries:
        seconds, faults = _one(shop, stage, delay, numbers)
        slowest = max(slowest, seconds)
        name = f"{'+'.join(n.name for n in numbers)} {'in ' + stage if stage else f'after {delay:.2f} s'}"
        wrong += [f"{name}: {fault}" for fault in faults]
    wrong += _nobody_reads(shop)
    return [
        Row(
            f"{len(tries)} signals, in every stage and at random moments",
            f"gone after {slowest:.1f} s at most; wrong: {told(wrong)}",
            "exit 128 + signal, nothing left lying, jobs queued again; the same command goes on",
            not wrong and slowest <= LONGEST,
        )
    ]


def _one(shop: Workshop, stage: str, delay: float, numbers: Sequence[signal.Signals]) -> tuple[float, list[str]]:
    """Seconds from the (first) signal to the end, and what was wrong."""
    studio = shop.studio(words=FEW)
    process = studio.start("batch", "run", FILE)
    while stage and process.poll() is None and not _reached(studio, stage):
        time.sleep(0.01)
    time.sleep(delay)
    asked = time.monotonic()
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.1 * (len(numbers) - 1))
    _, err = process.communicate(timeout=60)
    seconds = time.monotonic() - asked
    # Before Python has begun, and when all is over, a signal finds no handler, or none is needed.
    wrong = [] if process.returncode in (0, 128 + numbers[0], -numbers[0]) else [f"exit code {process.returncode}"]
    wrong += [f"a traceback: {err.decode()[-200:]}"] if b"Traceback" in err else []
    if len(numbers) == 1:
        wrong += [f"{path} was left" for path in leftovers(studio)]
        if studio.run("batch", "status", FILE, "--json").code == 0:
            found = studio.ok("batch", "status", FILE, "--json").json["counts"]
            wrong += ["a job is still running"] if found.get("running") else []
    wrong += [f"{name} is torn" for name, data in films(studio).items() if data != shop.whole[name]]
    again = studio.run("batch", "run", FILE)
    wrong += [] if again.code == 0 else [f"then it ended with {again.code}: {again.err[-200:]}"]
    wrong += shop.wrong(studio)
    shop.drop(studio)
    return seconds, wrong


def _reached(studio: Studio, stage: str) -> bool:
    """Whether a step of the stage was finished: its neighbours are under way."""
    if not (studio.home / "ledger.sqlite").exists():
        return False
    connection = ledger(studio)
    query = "SELECT count(*) FROM steps WHERE stage = ? AND status = 'done'"
    count = connection.execute(query, (stage,)).fetchone()[0]
    connection.close()
    return bool(count)


def _nobody_reads(shop: Workshop) -> list[str]:
    """`| head -1`: what is being made is wanted all the same."""
    studio = shop.studio(words=FEW)
    process = subprocess.Popen(
        studio.command("batch", "run", FILE, "--jsonl"), cwd=studio.work, env=studio.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read().decode()
    code = process.wait(timeout=120)
    process.stderr.close()
    wrong = [] if code == 0 and "Traceback" not in err else [f"| head -1: exit code {code}: {err[-300:]}"]
    wrong += [f"| head -1: {fault}" for fault in shop.wrong(studio)]
    shop.drop(studio)
    return wrong
