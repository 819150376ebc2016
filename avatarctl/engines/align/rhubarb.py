"""Stage `align` by Rhubarb Lip Sync, a program that the user installed: mouth shapes, recognised from the recording.

Only `--set align.engine=rhubarb` chooses it. It is run as its README of version 1.14 says:

    rhubarb --machineReadable -f json -r pocketSphinx|phonetic --threads N [-d TEXT] -o cues.json recording.wav

English goes through its recogniser of English words (`pocketSphinx`), to which a known text is a hint; any other
language, and a recording of which nothing is known, through that of sounds (`phonetic`). Its mouth shapes become
sounds that look alike (`SOUNDS`). Words and sentences stay unknown, so there are no subtitles.

The program's version is no part of a step's key: after installing another one, say --refresh.

The tests drive this with a stand-in that speaks the documented formats; the real program was not at hand when it was
written.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from avatarctl.engines.align import recording
from avatarctl.engines.align.spec import RhubarbParams
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadInput, StepFailed, Unavailable
from avatarctl.text import cues
from avatarctl.text import language as languages
from avatarctl.text.timings import Phoneme, Timings

SOUNDS = {"A": "m", "B": "s", "C": "ɛ", "D": "a", "E": "ɔ", "F": "u", "G": "f", "H": "l"}
"""A sound whose articulation looks like each of Rhubarb's mouth shapes; X, the idle mouth, is silence."""
_STRESS = 1
"""Rhubarb knows no stress: every vowel opens the mouth as far as its shape says."""
_CHECK_SECONDS, _LISTEN_SECONDS = 0.1, 2.0
_LOUDEST_WHY = 300
"""Characters of Rhubarb's own words in an error."""


class RhubarbEngine:
    """Keeps nothing but where the program is."""

    def load(self, models: Mapping[str, Path]) -> None:
        """Find the program.

        Raises:
            Unavailable: it is not on PATH.
        """
        found = shutil.which("rhubarb")
        if found is None:
            raise Unavailable(
                "Rhubarb Lip Sync was not found",
                why="there is no program rhubarb on PATH",
                hint="install it from github.com/DanielSWolf/rhubarb-lip-sync/releases, or leave align.engine unset",
            )
        self._program = found

    def close(self) -> None:
        """Nothing is kept."""

    def run(self, job: Job) -> None:
        """Write `speech.wav`, the recording with silence ensured at both ends, and `timings.json`.

        Raises:
            BadInput: not a mono WAV of 16 bits, or nothing to be heard in it.
            StepFailed: Rhubarb failed, answered what cannot be read, or got stuck.
            Unavailable: Rhubarb does not start.
        """
        params: RhubarbParams = job.params
        source = job.inputs["audio"]
        rate, frames = recording.checked(source)
        total = frames / rate
        language = _language(params.language, job.inputs.get("text"))
        sounds = _sounds(self._recognised(source, language, total, job), total)
        if not sounds:
            raise BadInput("nothing can be heard in the recording", hint="check its level, or take another one")
        lead, tail = recording.silence_needed(sounds[0].start, sounds[-1].end, rate, frames, params.lead, params.pause)
        recording.copy(source, job.out / "speech.wav", lead, tail, job)
        moved, duration = lead / rate, (lead + frames + tail) / rate
        timings = Timings(
            language=language,
            duration=duration,
            source="rhubarb",
            phonemes=tuple(Phoneme(s.start + moved, s.end + moved, s.ipa, s.stress) for s in sounds),
        )
        (job.out / "timings.json").write_text(timings.to_json(), encoding="utf-8")
        job.progress(total, total, "s")

    def _recognised(self, source: Path, language: str, total: float, job: Job) -> list[cues.Cue]:
        with tempfile.TemporaryDirectory(prefix="rhubarb-", dir=job.out) as made:
            folder = Path(made)
            # It tells formats apart by the ends of their names; a file of the store has none.
            named, answer = folder / "recording.wav", folder / "cues.json"
            named.symlink_to(source.absolute())
            command = [self._program, "--machineReadable", "-f", "json", "-r", _recogniser(language)]
            command += ["--threads", str(max(1, job.threads))]
            if "text" in job.inputs:
                command += ["-d", str(job.inputs["text"].absolute())]
            _perform([*command, "-o", str(answer), str(named)], total, job)
            try:
                return cues.from_json(answer.read_text(encoding="utf-8"))[0]
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                raise StepFailed("Rhubarb's answer cannot be read", why=_line(why or "")) from error


def _language(chosen: str, text: Path | None) -> str:
    """The language that was set, or that of the text; `und` when neither tells."""
    if chosen != "auto":
        return chosen
    return "und" if text is None else languages.detect(text.read_text(encoding="utf-8"))


def _recogniser(language: str) -> str:
    return "pocketSphinx" if language.lower().replace("_", "-").split("-")[0] == "en" else "phonetic"


def _sounds(found: Sequence[cues.Cue], total: float) -> list[Phoneme]:
    """Within the recording: what Rhubarb showed beyond its end is cut off."""
    return [
        Phoneme(cue.start / 100, min(cue.end / 100, total), SOUNDS[cue.shape], _STRESS if cue.shape in "CDEF" else 0)
        for cue in found
        if cue.shape != cues.IDLE and cue.start / 100 < min(cue.end / 100, total)
    ]


class _Status:
    """What the program says on stderr, line by line: JSON events, and perhaps plain complaints."""

    def __init__(self) -> None:
        self.progress = 0.0
        self.reason = ""
        self.heard = time.monotonic()

    def take(self, line: str) -> None:
        """Unknown kinds of events are passed over, as the README asks."""
        self.heard = time.monotonic()
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            self.reason = line.strip() or self.reason
        elif event.get("type") == "progress" and isinstance(event.get("value"), int | float):
            self.progress = min(max(self.progress, float(event["value"])), 1.0)
        elif event.get("type") == "failure":
            self.reason = str(event.get("reason", "")) or self.reason


def _perform(command: Sequence[str], total: float, job: Job) -> None:
    """Run the program to its end, in a process group of its own, so that all of it can be ended."""
    status = _Status()
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
        )
    except OSError as error:
        raise Unavailable(
            "Rhubarb does not start", why=error.strerror or str(error), hint="install it again"
        ) from error
    listener = threading.Thread(target=_listen, args=(child, status), name="rhubarb-status", daemon=True)
    listener.start()
    try:
        while not _ended(child.pid):
            if job.cancelled():
                raise Cancelled
            if time.monotonic() - status.heard > job.params.timeout:
                raise StepFailed(
                    "Rhubarb got stuck",
                    why=f"no progress for {job.params.timeout:g} s, after {status.progress:.0%}",
                    hint="--set align.timeout=... waits longer; without align.engine the sound is read here",
                )
            job.progress(0.99 * status.progress * total, total, "s")
            time.sleep(_CHECK_SECONDS)
    finally:
        # Also when it ended well: a helper of its own that lives on would hold the pipe open. Until the program is
        # waited for, the group's number is nobody else's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        listener.join(_LISTEN_SECONDS)
        if not listener.is_alive() and child.stderr is not None:
            child.stderr.close()
    if child.returncode != 0:
        ending = f"a signal, {-child.returncode}" if child.returncode < 0 else f"code {child.returncode}"
        raise StepFailed("Rhubarb failed", why=_line(status.reason) or f"it ended with {ending}")


def _ended(pid: int) -> bool:
    """Whether the program has ended; it stays to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _listen(child: subprocess.Popen[bytes], status: _Status) -> None:
    assert child.stderr is not None
    for line in child.stderr:
        status.take(line.decode("utf-8", "replace"))


def _line(text: str) -> str:
    """Its words on one line, without control characters."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:_LOUDEST_WHY]
