from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from avatarctl.errors import Busy
from avatarctl.store.locks import Abandoned, FileLock, RunLock, key_lock
from tests.store_support import finish, start, together

HOLDER = """
from pathlib import Path
from avatarctl.store.locks import FileLock
FileLock(Path(sys.argv[1])).acquire(exclusive=sys.argv[2] == "alone", timeout=10)
print("held", flush=True)
sys.stdin.readline()
"""


def test_readers_share_and_a_writer_is_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one, two, three = FileLock(path), FileLock(path), FileLock(path, what="the cache")
    with one.shared(), two.shared():
        with pytest.raises(Busy, match="the cache") as caught, three.exclusive(timeout=0.02):
            pass
        assert caught.value.exit_code == 75
    with three.exclusive():
        assert not one.try_acquire(exclusive=False)
    assert one.try_acquire(exclusive=True)
    with pytest.raises(RuntimeError):
        one.try_acquire(exclusive=True)
    one.release()
    one.release()


def test_other_processes_are_kept_out_until_they_die(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = start(HOLDER, path, "alone")
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    assert not FileLock(path).try_acquire(exclusive=False)
    holder.kill()
    with FileLock(path).exclusive(timeout=10):
        pass
    finish(holder, -9)


def test_switching_keeps_the_lock_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one, two, probe = FileLock(path), FileLock(path), FileLock(path)
    one.acquire(exclusive=False)
    two.acquire(exclusive=False)
    with pytest.raises(Busy):
        one.switch(exclusive=True, timeout=0.02)
    two.release()
    assert not probe.try_acquire(exclusive=True)
    one.switch(exclusive=True)
    assert not probe.try_acquire(exclusive=False)
    one.switch(exclusive=False)
    assert probe.try_acquire(exclusive=False)


def test_waiting_can_be_abandoned(tmp_path: Path) -> None:
    with (
        key_lock(tmp_path, "s1:x", 0),
        pytest.raises(Abandoned),
        key_lock(tmp_path, "s1:x", 60, cancelled=lambda: True),
    ):
        pass


def test_step_locks_leave_no_files(tmp_path: Path) -> None:
    with key_lock(tmp_path, "s1:x", 0), key_lock(tmp_path, "s1:y", 0):
        with pytest.raises(Busy), key_lock(tmp_path, "s1:x", 0.01):
            pass
        assert len(list((tmp_path / "steps").iterdir())) == 2
    assert not list((tmp_path / "steps").iterdir())


def test_threads_exclude_each_other_while_lock_files_come_and_go(tmp_path: Path) -> None:
    inside = 0
    most = 0
    total = 0

    def work() -> None:
        nonlocal inside, most, total
        for _ in range(25):
            with key_lock(tmp_path, "s1:x", 60):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                total += 1
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, total) == (1, 150)


def test_processes_exclude_each_other(tmp_path: Path) -> None:
    code = """
from pathlib import Path
from avatarctl.store.locks import key_lock
folder = Path(sys.argv[1])
counter = folder / "counter"
go()
for _ in range(25):
    with key_lock(folder, "s1:x", 60):
        counter.write_text(str(int(counter.read_text()) + 1))
"""
    (tmp_path / "counter").write_text("0")
    together(code, 4, tmp_path)
    assert (tmp_path / "counter").read_text() == "100"


def test_a_run_lives_as_long_as_its_lock(tmp_path: Path) -> None:
    assert not RunLock.is_alive(tmp_path, "R1")
    with RunLock(tmp_path, "R1"):
        assert RunLock.is_alive(tmp_path, "R1")
        assert not RunLock.is_alive(tmp_path, "R2")
    assert not RunLock.is_alive(tmp_path, "R1")
    holder = start(HOLDER, tmp_path / "runs" / "R3", "alone")
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    assert RunLock.is_alive(tmp_path, "R3")
    holder.kill()
    finish(holder, -9)
    assert (tmp_path / "runs" / "R3").exists()
    assert not RunLock.is_alive(tmp_path, "R3")
