"""Engines that behave, or misbehave in every way that a worker has to survive; and raw workers that break the rules."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import NoFace
from avatarctl.stages.params import Params, param


@dataclass(frozen=True, kw_only=True)
class Orders(Params):
    """What the fake engine does."""

    act: str = param("copy", "what to do")


class Actor:
    """Does what its params say."""

    def load(self, models: Mapping[str, Path]) -> None:
        self.loaded = {name: path.read_text(encoding="utf-8") for name, path in models.items()}
        self.runs = 0

    def run(self, job: Job) -> None:
        self.runs += 1
        getattr(self, f"_{job.params.act}")(job)

    def _copy(self, job: Job) -> None:
        text = job.inputs["text"].read_text(encoding="utf-8")
        for number, word in enumerate(text.split()):
            job.emit(word)
            job.progress(number + 1, len(text.split()), "words")
        print("a library that prints on standard output")
        os.write(1, b'{"type":"result"}\n')
        (job.out / "text.txt").write_text(
            f"{text}|{job.seed}|{job.key}|{job.threads}|{self.runs}|{self.loaded}", encoding="utf-8"
        )

    def _no_face(self, job: Job) -> None:
        raise NoFace("nobody is in the photo", why="it is a landscape", hint="take another one")

    def _bug(self, job: Job) -> None:
        raise ZeroDivisionError("an engine's own fault")

    def _disk(self, job: Job) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _pay(self, job: Job) -> None:
        job.note("it costs something")
        job.used("characters", 11)
        self.device = "abacus"

    def _memory(self, job: Job) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

    def _import(self, job: Job) -> None:
        raise ImportError("No module named 'heavy'")

    def _wait(self, job: Job) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if job.cancelled():
                raise Cancelled
            time.sleep(0.01)

    def _deaf(self, job: Job) -> None:
        time.sleep(30)

    def _segfault(self, job: Job) -> None:
        print("about to die", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)

    def _leave(self, job: Job) -> None:
        os._exit(139)

    def _hum(self, job: Job) -> None:
        os.write(2, b"humming ")
        for _ in range(128):
            os.write(2, b"m" * 2**20)
        os.write(2, b"\nthe end\n")
        os._exit(7)

    def _child(self, job: Job) -> None:
        child = subprocess.Popen(["sleep", "60"])
        (job.out / "text.txt").write_text(str(child.pid), encoding="utf-8")

    def close(self) -> None:
        return


# What a worker must not do, each as the body of a program that speaks the protocol by itself.
RAW = {
    "garbage": "say(hello); read(); say(result); read(); out.write(b'Segmentation fault?\\n'); out.flush(); rest()",
    "no-object": "say(hello); read(); say(result); read(); out.write(b'[1,2]\\n'); out.flush(); rest()",
    "silence": "say(hello); read(); say(result); read(); rest()",
    "half-message": 'say(hello); read(); say(result); read(); out.write(b\'{"type":"res\'); out.flush(); sys.exit(0)',
    "half-a-file": (
        "say(hello); read(); say(result); order = read(); path = os.path.join(order['out'], 'text.txt'); "
        "open(path, 'w').write('half'); "
        "say({**result, 'id': order['id'], 'outputs': [{'name': 'text.txt', 'size': 8, 'sha256': '0' * 64}]}); rest()"
    ),
    "file-outside": (
        "say(hello); read(); say(result); order = read(); "
        "say({**result, 'id': order['id'], 'outputs': [{'name': '/etc/hostname', 'size': 8, 'sha256': '0'}]}); rest()"
    ),
    "no-fields": "say(hello); read(); say(result); order = read(); say({'type': 'result', 'id': order['id']}); rest()",
    "other-protocol": "say({**hello, 'proto': 99}); rest()",
    "no-greeting": "sys.exit(7)",
}
PROGRAM = """#!{python}
import json, os, sys, time
out = sys.stdout.buffer
hello = {{"type": "hello", "proto": 2, "version": "1", "python": "3"}}
result = {{"type": "result", "id": 1, "outputs": [], "seconds": 0.0, "memory": {{}}}}
def say(message):
    out.write(json.dumps(message).encode() + b"\\n"); out.flush()
def read():
    return json.loads(sys.stdin.buffer.readline())
def rest():
    time.sleep(60)
{body}
"""
