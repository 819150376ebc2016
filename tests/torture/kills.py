"""SIGKILL at random moments, and many processes on one queue."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from tests.tools import Studio
from tests.torture.workshop import FILE, Row, Workshop, films, ledger, made, made_more_than_once, statuses, told


def kills(shop: Workshop) -> list[Row]:
    """Kill a batch again and again until it is done; then another one, until there were enough."""
    wanted = 12 if shop.quick else 200
    chance = shop.chance("kills")
    # Most of the start-up, too: a ledger that is opened, a queue that is filled.
    longest = max(2.0, 0.2 * shop.took)
    killed, batches, lost = 0, 0, 0
    wrong: list[str] = []
    while killed < wanted:
        studio = shop.studio()
        batches += 1
        while killed < wanted:
            process = studio.start("batch", "run", FILE)
            try:
                process.communicate(timeout=chance.uniform(0.1, longest))
                break
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.communicate()
                killed += 1
            wrong += shop.wrong(studio, all_there=False)
        again = studio.run("batch", "run", FILE, timeout=600)
        if again.code != 0:
            wrong.append(f"after the kills it ended with {again.code}: {again.err.splitlines()[-1:]}")
        lost += _lost(studio)
        wrong += shop.wrong(studio)
        if set(statuses(studio)) != {"done"}:
            wrong.append(f"jobs are {dict(statuses(studio))}")
        shop.drop(studio)
    return [
        Row(
            f"{killed} SIGKILLs at random moments of {batches} batches of 20 films",
            f"{lost} films were being made; wrong: {told(wrong)}",
            "films bit-identical, no finished step repeated, ledger sound, nothing left lying",
            not wrong,
        )
    ]


def _lost(studio: Studio) -> int:
    """How many runs were killed."""
    connection = ledger(studio)
    count = connection.execute("SELECT count(*) FROM runs WHERE status = 'lost'").fetchone()[0]
    connection.close()
    return int(count)


def eight(shop: Workshop) -> list[Row]:
    """Eight processes on one queue; then the same with one of them killed every second."""
    studio = shop.studio()
    processes = [studio.start("batch", "run", FILE) for _ in range(8)]
    ended = [(process.communicate(timeout=600)[1], process.returncode) for process in processes]
    wrong = [f"a process ended with {code}: {err.decode()[-300:]}" for err, code in ended if code != 0]
    wrong += shop.wrong(studio)
    steps = len(made(studio))
    shop.drop(studio)
    rows = [
        Row(
            "8 processes on one queue of 20 films",
            f"{steps} steps, {'each once' if not wrong else 'wrong: ' + told(wrong)}",
            "each step once, films bit-identical",
            not wrong,
        )
    ]
    return [*rows, _eight_killed(shop)]


def _eight_killed(shop: Workshop) -> Row:
    chance = shop.chance("eight")
    studio = shop.studio()
    processes = [studio.start("batch", "run", FILE) for _ in range(8)]
    for process in processes[:-1]:
        time.sleep(chance.uniform(0.2, 1.5))
        process.send_signal(signal.SIGKILL)
    wrong = []
    _, err = processes[-1].communicate(timeout=600)
    if processes[-1].returncode != 0:
        wrong.append(f"the last one ended with {processes[-1].returncode}: {err.decode()[-300:]}")
    for process in processes[:-1]:
        process.communicate()
    wrong += shop.wrong(studio, all_there=False)
    if len(films(studio)) != len(shop.whole) or made_more_than_once(studio):
        wrong.append(f"{len(films(studio))} films")
    shop.drop(studio)
    return Row(
        "8 processes on one queue, 7 of them killed one after the other",
        f"wrong: {told(wrong)}",
        "the last one takes every job over, each step once, films bit-identical",
        not wrong,
    )
