"""A clip's frames in their order, drawn side by side: by a thread of this process and by a second process.

A frame is some two thousand short calls, and between OpenCV's only one thread of a process computes at a time: two
threads would wait for each other a third of their time. A frame depends on the rig and its own row of controls alone,
so it is the same whoever drew it.
"""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import avatarctl
from avatarctl.engines.puppet.render import Renderer

Picture = NDArray[np.uint8]
Row = NDArray[np.float32]
Shown = tuple[Path, Picture | None]
"""The file of a rig, and what is to be seen behind the person instead of the photo's own background."""

FRAMES_IN_FLIGHT = 6
"""Drawn or being drawn, and not yet taken by the encoder."""
ORDERED_AHEAD = 2
"""Frames that the second process knows of, so that it need not wait for the next order."""
_PATIENCE = 0.05
"""Seconds between two looks whether a clip is finished before the second process has started."""
_PIPE_BYTES = 1 << 20


class Lost(Exception):
    """The second process has ended, or could not start."""


class Second:
    """Another process that draws. It is started when it is first asked for, and kept until `close`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._shown: Shown | None = None
        self._is_ready = False

    def start(self) -> None:
        """Begin to start it, if it is not there; returns at once.

        Raises:
            Lost: it cannot be started.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        # It imports this very package. Arrays are computed on by one thread: another would wait for work, spinning.
        root = str(Path(avatarctl.__file__).resolve().parent.parent)
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH", "")])])
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "avatarctl.engines.puppet.second"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # What goes wrong there goes wrong here too, when its frames are drawn here: here it is told.
                stderr=subprocess.DEVNULL,
                bufsize=0,
                pipesize=_PIPE_BYTES,
                # Ctrl-C at a terminal reaches its whole group; its end is for its owner to decide.
                process_group=0,
                env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            )
        except OSError as error:
            raise Lost(str(error)) from error

    def open(self, rig: Path, background: Picture | None) -> None:
        """What it is to draw from now on; `ready` tells when it can."""
        self.start()
        if self._shown is not None and alike(self._shown, (rig, background)):
            return
        if self._shown is not None and not self._is_ready:
            # It would answer for the other one first.
            self.close()
            self.start()
        self._shown, self._is_ready = (rig, background), False
        shape = [] if background is None else list(background.shape)
        self._send(json.dumps({"rig": str(rig), "background": shape}).encode() + b"\n")
        if background is not None:
            self._send(background.tobytes())

    def ready(self, seconds: float) -> bool:
        """Whether it has opened the rig, which is waited for no longer than this."""
        if not self._is_ready:
            assert self._process is not None and self._process.stdout is not None
            if not select.select([self._process.stdout], [], [], seconds)[0]:
                return False
            self._receive(bytearray(1))
            self._is_ready = True
        return True

    def order(self, row: Row) -> None:
        """Ask for a frame; as many may be waiting as `ORDERED_AHEAD`."""
        self._send(json.dumps({"row": len(row)}).encode() + b"\n" + row.astype(np.float32).tobytes())

    def frame(self, height: int, width: int) -> Picture:
        """The frame that was asked for first: I420, uint8 (height * 3 // 2, width)."""
        picture = np.empty((height * 3 // 2, width), np.uint8)
        self._receive(picture.data.cast("B"))
        return picture

    def _send(self, order: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        rest = memoryview(order)
        try:
            while rest:
                rest = rest[self._process.stdin.write(rest) :]
        except OSError as error:
            raise Lost("it takes no orders") from error

    def _receive(self, into: bytearray | memoryview) -> None:
        assert self._process is not None and self._process.stdout is not None
        rest = memoryview(into)
        while rest:
            # mypy does not know that a pipe without a buffer is a raw file.
            got = self._process.stdout.readinto(rest)  # type: ignore[attr-defined]
            if not got:
                raise Lost("it gave no frame")
            rest = rest[got:]

    def close(self) -> None:
        """End it now. Safe to call twice."""
        process, self._process, self._shown = self._process, None, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(OSError):
                    pipe.close()


def alike(one: Shown, other: Shown) -> bool:
    """Whether both look the same. A rig's file is never another one later: it is named by what it holds."""
    (rig, picture), (other_rig, other_picture) = one, other
    same = picture is other_picture
    if picture is not None and other_picture is not None:
        same = np.array_equal(picture, other_picture)
    return rig == other_rig and same


_Task = tuple[Row, "Future[Picture]"]
_Tasks = queue.SimpleQueue["_Task | None"]


def frames(
    renderer: Renderer, rows: NDArray[np.float32], second: tuple[Second, Shown] | None = None
) -> Generator[Picture]:
    """The frames of these rows in order, I420, each drawn while the ones before it are still being taken.

    Args:
        second: draws some of them as soon as it is ready, with what the renderer was made of.
    """
    tasks: _Tasks = queue.SimpleQueue()
    over = threading.Event()
    work: list[Callable[[], None]] = [lambda: _draw(renderer, tasks)]
    if second is not None:
        work.append(lambda: _have_drawn(*second, renderer, tasks, over))
    threads = [threading.Thread(target=each, name="draw", daemon=True) for each in work]
    for thread in threads:
        thread.start()
    pending: deque[Future[Picture]] = deque()
    try:
        for row in rows:
            if len(pending) >= FRAMES_IN_FLIGHT:
                yield pending.popleft().result()
            pending.append(Future())
            tasks.put((row, pending[-1]))
        while pending:
            yield pending.popleft().result()
    finally:
        over.set()
        with suppress(queue.Empty):
            while True:
                tasks.get_nowait()
        for _ in threads:
            tasks.put(None)
        for thread in threads:
            thread.join()


def _draw(renderer: Renderer, tasks: _Tasks) -> None:
    while (task := tasks.get()) is not None:
        _answer(task, renderer)


def _answer(task: _Task, renderer: Renderer) -> None:
    row, future = task
    try:
        future.set_result(renderer.render_i420(row))
    except BaseException as error:
        future.set_exception(error)


def _have_drawn(second: Second, shown: Shown, renderer: Renderer, tasks: _Tasks, over: threading.Event) -> None:
    """As `_draw`, by the second process; by this thread, where that is lost."""
    ordered: deque[_Task] = deque()
    height, width = renderer.rig.height, renderer.rig.width
    try:
        second.open(*shown)
        while not second.ready(_PATIENCE):
            if over.is_set():
                return
        more = True
        while more or ordered:
            while more and len(ordered) < ORDERED_AHEAD:
                try:
                    task = tasks.get(block=not ordered)
                except queue.Empty:
                    break
                more = task is not None
                if task is not None:
                    ordered.append(task)
                    second.order(task[0])
            if ordered:
                frame = second.frame(height, width)
                ordered.popleft()[1].set_result(frame)
    except Lost:
        second.close()
        twin = renderer.twin()
        for task in ordered:
            _answer(task, twin)
        if not over.is_set():
            _draw(twin, tasks)
