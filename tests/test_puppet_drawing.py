"""Frames drawn by two processes: the same ones, in order, whatever becomes of the second."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.facemesh.person import PersonNetwork
from avatarctl.engines.puppet import drawing
from avatarctl.engines.puppet.controls import CONTROLS, INDEX
from avatarctl.engines.puppet.drawing import Second, frames
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import Rig, build_rig

SIZE, FRAMES = 256, 30
Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def file(
    photos: dict[str, Picture], mesh: FaceMesh, network: PersonNetwork, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("rig") / "rig.rig"
    photo = photos["astronaut"]
    build_rig(photo, mesh.landmarks(photo).points, SIZE, 0.42, network=network).save(path)
    return path


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    """A mouth that opens and a head that turns, no two frames alike."""
    rows = np.zeros((FRAMES, len(CONTROLS)), np.float32)
    rows[:, INDEX["open"]] = np.linspace(0, 0.4, FRAMES)
    rows[:, INDEX["yaw"]] = np.linspace(-5, 5, FRAMES)
    return rows


@dataclass(frozen=True)
class Clip:
    """What is to be drawn. `alone`: its frames as one thread draws them."""

    file: Path
    renderer: Renderer
    rows: NDArray[np.float32]
    alone: list[Picture]


@pytest.fixture(scope="module")
def clip(file: Path, rows: NDArray[np.float32]) -> Clip:
    renderer = Renderer(Rig.load(file))
    drawn = list(frames(renderer, rows))
    assert len({picture.tobytes() for picture in drawn}) == FRAMES
    return Clip(file, renderer, rows, drawn)


@pytest.fixture
def second() -> Iterator[Second]:
    with closing(Second()) as second:
        yield second


def wait_for(second: Second, file: Path, background: Picture | None = None) -> int:
    """Its process, once it can draw."""
    second.open(file, background)
    while not second.ready(1.0):
        pass
    assert second._process is not None
    return second._process.pid


def same(one: list[Picture], other: list[Picture]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def test_two_draw_the_same_frames_as_one(second: Second, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Picture] = []
    of_second = Second.frame

    def counted(self: Second, height: int, width: int) -> Picture:
        given.append(of_second(self, height, width))
        return given[-1]

    monkeypatch.setattr(Second, "frame", counted)
    process = wait_for(second, clip.file)
    assert same(list(frames(clip.renderer, clip.rows, (second, (clip.file, None)))), clip.alone)
    # Both had a part in it, and the next clip finds it ready.
    assert 0 < len(given) < FRAMES
    assert wait_for(second, clip.file) == process


def test_it_draws_before_another_background(second: Second, file: Path, rows: NDArray[np.float32]) -> None:
    rig = Rig.load(file)
    green = np.full((rig.height, rig.width, 3), (32, 192, 96), np.uint8)
    before_green = Renderer(rig, green)
    wanted = list(frames(before_green, rows[:8]))
    # What it showed until now is forgotten, also while it was still getting ready for that.
    second.open(file, None)
    wait_for(second, file, green)
    assert same(list(frames(before_green, rows[:8], (second, (file, green.copy())))), wanted)


@pytest.mark.parametrize("at", [0, 3, FRAMES // 2])
def test_when_it_dies_its_frames_are_drawn_here(second: Second, clip: Clip, at: int) -> None:
    process = wait_for(second, clip.file)
    drawn: list[Picture] = []
    for number, frame in enumerate(frames(clip.renderer, clip.rows, (second, (clip.file, None)))):
        if number == at:
            os.kill(process, signal.SIGKILL)
        drawn.append(frame)
    assert same(drawn, clip.alone)
    # It is there again for the next clip.
    assert wait_for(second, clip.file) != process


def test_one_that_cannot_start_is_done_without(second: Second, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    for python in ("/nowhere/python", "/bin/false"):
        monkeypatch.setattr(drawing.sys, "executable", python)
        assert same(list(frames(clip.renderer, clip.rows[:8], (second, (clip.file, None)))), clip.alone[:8])


def test_a_clip_that_is_given_up_leaves_it_ready_for_the_next(second: Second, clip: Clip) -> None:
    process = wait_for(second, clip.file)
    with closing(frames(clip.renderer, clip.rows, (second, (clip.file, None)))) as begun:
        assert same(list(islice(begun, 4)), clip.alone[:4])
    # Nothing of the one before comes out of it.
    assert same(list(frames(clip.renderer, clip.rows[::-1].copy(), (second, (clip.file, None)))), clip.alone[::-1])
    assert wait_for(second, clip.file) == process
    second.close()
    assert not psutil.pid_exists(process)


def test_an_error_in_drawing_is_told(clip: Clip) -> None:
    with pytest.raises(IndexError):
        list(frames(clip.renderer, clip.rows[:, :3]))


def test_it_ends_with_whom_it_draws_for(file: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom avatarctl.engines.puppet.drawing import Second\n"
        "second = Second()\nsecond.open(Path(sys.argv[1]), None)\nprint(second._process.pid, flush=True)\n"
        "while not second.ready(1.0): pass\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, str(file)], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        drawer = psutil.Process(int(owner.stdout.readline()))
        assert owner.stdout.readline() == "ready\n"
    finally:
        owner.kill()
        owner.communicate()
    deadline = time.monotonic() + 30
    while drawer.is_running() and drawer.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
