"""Engines that hang, flood, crash and leave children behind, as the voice of some films of a batch."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.tools import Studio
from tests.torture.workshop import FILE, ROOT, Row, Workshop, films, integrity, leftovers, made_more_than_once, told

GOOD = ("раз", "два", "три", "пять")


@dataclass(frozen=True)
class Case:
    """A film whose voice misbehaves, and how its job has to end."""

    text: str
    status: str
    words: str = ""
    """In its error."""
    fields: str = ""
    slow: bool = False


CASES = (
    Case("зависни", "failed", "took longer than", ", timeout: 6, priority: 9"),
    Case("упади", "failed", "exit code 139"),
    Case("сломайся", "failed", "SIGSEGV"),
    Case("однажды", "done"),
    Case("шуми", "done"),
    Case("гуди", "done"),
    Case("доложи", "done"),
    Case("роди", "done"),
    Case("замри", "failed", "silent for", slow=True),
)


def workers(shop: Workshop) -> list[Row]:
    """One batch with all of them, and good films between: in workers, and in the batch's own children."""
    return [
        _row(shop, "unruly", "engines in workers that hang, flood, die or leave children"),
        _row(shop, "unasked", "the same in the children of a batch"),
    ]


def _row(shop: Workshop, voice: str, what: str) -> Row:
    cases = [case for case in CASES if not (case.slow and shop.quick)]
    studio = shop.studio(words=GOOD)
    text = f"defaults: {{avatar: astronaut, preset: lite, set: {{speak.engine: {voice}}}}}\njobs:\n"
    text += "".join(f"  - {{name: {c.text}, text: {c.text}.{c.fields}}}\n" for c in cases)
    text += "".join(f"  - {{name: {word}, text: {word}.}}\n" for word in GOOD)
    (studio.work / FILE).write_text(text)
    plugin = _plugin(studio.home.parent / "plugin")
    process = studio.start("batch", "run", FILE, PYTHONPATH=f"{plugin}:{ROOT}")
    try:
        peak, err = _follow(process)
    except subprocess.TimeoutExpired:
        process.kill()
        return Row(what, "the batch hangs", "every job ends", False)
    wrong = [] if process.returncode == 1 else [f"exit code {process.returncode}: {err[-300:]}"]
    wrong += ["a traceback"] if "Traceback" in err else []
    ended = {job["name"]: job for job in studio.ok("batch", "status", FILE, "--json").json["jobs"]}
    for case in cases:
        job = ended[case.text]
        message = (job["error"] or {}).get("message", "")
        if job["status"] != case.status or case.words not in message:
            wrong.append(f"{case.text}: {job['status']}: {message}")
    wrong += [f"{word} is not done" for word in GOOD if ended[word]["status"] != "done"]
    wrong += [f"{n} differs" for n, data in films(studio).items() if data != shop.whole.get(n, data)]
    wrong += [f"{pid} still runs" for pid in _survivors(studio)]
    wrong += [f"{path} was left" for path in leftovers(studio)]
    wrong += integrity(studio) + [f"step {key} was made {n} times" for key, n in made_more_than_once(studio).items()]
    shop.drop(studio)
    return Row(
        f"{what}: {len(cases)} films of {len(cases) + len(GOOD)}",
        f"wrong: {told(wrong)}; peak RSS {peak:.0f} MB",
        "each fails alone and says why, or succeeds at the second attempt; other films bit-identical; <= 450 MB",
        not wrong and peak <= 450,
    )


def _plugin(folder: Path) -> Path:
    """What an installed package with an engine looks like to Python."""
    info = folder / "torture-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torture\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[avatarctl.engines]\nunruly = tests.torture.engines:SPECS\n")
    return folder


def _follow(process: subprocess.Popen[bytes], limit: float = 400.0) -> tuple[float, str]:
    """Wait for its end: its own highest memory in MB, and what it said."""
    peak = 0.0
    deadline = time.monotonic() + limit
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        if time.monotonic() > deadline:
            raise subprocess.TimeoutExpired(process.args, limit)
        try:
            peak = max(peak, watched.memory_info().rss / 2**20)
        except psutil.Error:
            break
        time.sleep(0.02)
    return peak, process.communicate()[1].decode()


def _survivors(studio: Studio) -> list[str]:
    """Processes that were started for this home and are still there."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AVATARCTL_HOME") == str(studio.home) and process.pid != os.getpid():
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
