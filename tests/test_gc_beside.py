"""Garbage collected while others work: what they were given, made or wait for stays, and only that."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from avatarctl.errors import Busy
from avatarctl.store import gc
from avatarctl.store.model import RunRecord, new_id
from avatarctl.store.queue import Wanted
from avatarctl.store.store import Store
from tests.store_support import Maker, finish, start
from tests.tools import Studio

HOLDER = """
from pathlib import Path
from avatarctl.store.store import Store
from tests.store_support import Maker, key_of
with Store.open(Path(sys.argv[1])) as store:
    maker = Maker(store)
    found = store.lookup(key_of("looked up", []))
    given = store.add_bytes(b"a text of long ago", "text/plain")
    asked = store.artefact(sys.argv[2])
    made = maker.make("made")
    print("holding", flush=True)
    sys.stdin.readline()
    for artefact in (*found.outputs.values(), given, asked, *made.outputs.values()):
        assert store.cas.verify(artefact.digest), artefact
    assert store.lookup(made.key) == made
print("all there")
"""

WORKER = """
import hashlib, random, time
from pathlib import Path
from avatarctl.store.store import Store
from tests.store_support import Maker, key_of
ends = time.monotonic() + float(sys.argv[2])
luck = random.Random(int(sys.argv[3]))
made = hits = 0
while time.monotonic() < ends:
    with Store.open(Path(sys.argv[1])) as store:
        maker = Maker(store)
        with store.run_lock(maker.run_id):
            for _ in range(luck.randrange(1, 12)):
                name = f"step {luck.randrange(40)}"
                text = store.add_bytes(name.encode(), "text/plain")
                key = key_of(name, sorted({"text": text.digest}.items()))
                manifest = store.lookup(key)
                if manifest is None:
                    manifest, made = maker.make(name, {"text": text.digest}), made + 1
                else:
                    hits += 1
                assert manifest.key == key
                time.sleep(luck.random() * 0.004)
                # What was handed out is there, as long as this store is open.
                assert store.cas.verify(text.digest), name
                assert all(store.cas.verify(a.digest) for a in manifest.outputs.values()), name
print(made, hits)
"""


def test_what_a_living_command_was_handed_stays(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        maker = Maker(store)
        looked_up, asked, other = maker.make("looked up"), maker.make("asked"), maker.make("other")
        text = store.add_bytes(b"a text of long ago", "text/plain")
    wanted = asked.outputs["out"].digest
    holder = start(HOLDER, tmp_path, wanted)
    assert holder.stdout is not None and holder.stdin is not None
    assert holder.stdout.readline() == "holding\n"
    with Store.open(tmp_path) as store:
        done = gc.apply(store, gc.plan(store, max_bytes=0))
        assert [a.key for a in done.actions] == [other.key]
        assert done.in_use == 4
        assert store.lookup(looked_up.key) == looked_up and store.artefact(text.digest) is not None
    holder.stdin.write("go on\n")
    holder.stdin.flush()
    assert finish(holder) == "all there"
    with Store.open(tmp_path) as store:
        assert list((store.locks_folder / "uses").iterdir()) == []
        done = gc.apply(store, gc.plan(store, max_bytes=0))
        assert (done.in_use, done.kept, len(done.actions)) == (0, 0, 3)


def test_what_a_killed_command_was_handed_goes(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        maker = Maker(store)
        maker.make("looked up")
        wanted = maker.make("asked").outputs["out"].digest
    holder = start(HOLDER, tmp_path, wanted)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holding\n"
    holder.kill()
    holder.communicate()
    with Store.open(tmp_path, readonly=True) as reader:
        assert gc.plan(reader, max_bytes=0).in_use == 0
    with Store.open(tmp_path) as store:
        assert list((store.locks_folder / "uses").iterdir()) == []
        assert gc.apply(store, gc.plan(store, max_bytes=0)).kept == 0


def test_steps_of_unfinished_jobs_stay(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        batch = store.ledger.queue_batch("/films.yaml", "d", [Wanted(n, {}, n) for n in "ab"], store.is_alive)
        made = {}
        for _ in range(2):
            job = store.ledger.claim_job([batch.id], "owner")
            assert job is not None
            maker = Maker(store)
            store.ledger.begin_job(job.id, "owner", maker.run_id)
            made[job.name] = maker.make(f"film {job.name}")
            ended = {"a": "done", "b": "failed"}[job.name]
            store.ledger.finish_job(job.id, "owner", ended, retryable=True)
        assert len(gc.plan(store, max_bytes=0).actions) == 2
        assert store.ledger.retry_jobs(batch.id) == 1
        done = gc.apply(store, gc.plan(store, max_bytes=0, max_age_days=0))
        assert [a.key for a in done.actions] == [made["a"].key]
        assert store.lookup(made["b"].key) == made["b"]


def test_a_gate_that_is_passed_for_too_long_is_busy(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store, Store.open(tmp_path) as other:
        made = Maker(store).make("x")
        with other.uses.passing(), pytest.raises(Busy) as caught:
            gc.apply(store, gc.plan(store, max_bytes=0), timeout=0.05)
        assert caught.value.exit_code == 75
        assert store.lookup(made.key) == made


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_taken_from_under_workers(tmp_path: Path, seed: int) -> None:
    seconds = 4.0
    Store.open(tmp_path).close()
    workers = [start(WORKER, tmp_path, str(seconds), str(10 * seed + i)) for i in range(3)]
    luck = random.Random(seed)
    collected = 0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        with Store.open(tmp_path) as store:
            done = gc.apply(store, gc.plan(store, max_bytes=luck.choice([0, 100])), timeout=30)
            collected += len(done.actions)
        time.sleep(luck.random() * 0.05)
    results = [[int(n) for n in finish(worker).split()] for worker in workers]
    assert collected > 20 and sum(made for made, _ in results) > 20 and sum(hits for _, hits in results) > 5
    with Store.open(tmp_path) as store:
        store.ledger.start_run(RunRecord(id=new_id(), recipe="after"))
        gc.apply(store, gc.plan(store, max_bytes=0))
        assert list(store.cas) == []


@pytest.mark.unjudged
def test_a_batch_goes_on_while_everything_else_is_collected(studio: Studio) -> None:
    studio.ok("render", "Раньше.", "--out", "before.mp4")
    jobs = "".join(f"  - text: {text}\n" for text in ("Раз.", "Два.", "Три.", "Четыре.", "Пять."))
    (studio.work / "films.yaml").write_text(f"defaults: {{avatar: astronaut}}\njobs:\n{jobs}", encoding="utf-8")
    batch = studio.start("batch", "run", "films.yaml")
    gone = 0
    while batch.poll() is None:
        done = studio.ok("cache", "gc", "--max-size", "0", "--json").json
        gone += len(done["actions"])
        time.sleep(0.3)
    _, err = batch.communicate()
    assert batch.returncode == 0, err.decode()
    assert gone >= 3
    assert len(studio.delivered()) == 5 and (studio.work / "before.mp4").exists()
    # Each step was made once, in one attempt: none had to be made again.
    status = studio.ok("batch", "status", "films.yaml", "--json").json
    assert [(job["status"], job["attempt"]) for job in status["jobs"]] == [("done", 1)] * 5
    for job in status["jobs"]:
        steps = studio.ok("runs", "show", job["run"], "--json").json["steps"]
        assert {step["status"] for step in steps} <= {"done", "hit"}
    studio.ok("cache", "verify")


@pytest.mark.unjudged
def test_the_retention_of_the_preset_that_all_jobs_name_holds(studio: Studio) -> None:
    (studio.home / "config" / "presets").mkdir()
    short = 'extends = "lite"\ndescription = "keeps nothing"\n[retention]\nsize = "0"\n'
    (studio.home / "config" / "presets" / "short.toml").write_text(short)
    (studio.work / "films.yaml").write_text("defaults: {preset: short}\njobs:\n  - text: Раз.\n", encoding="utf-8")
    assert "left the cache" in studio.ok("batch", "run", "films.yaml").err
    with (studio.work / "films.yaml").open("a", encoding="utf-8") as file:
        file.write("  - {text: Два., preset: lite}\n")
    assert "left the cache" not in studio.ok("batch", "run", "films.yaml").err


@pytest.mark.unjudged
def test_retention_holds_at_the_end_of_a_batch_and_for_gc(studio: Studio, portraits: dict[str, Path]) -> None:
    (studio.work / "films.yaml").write_text("defaults: {avatar: astronaut}\njobs:\n  - text: Раз.\n", encoding="utf-8")
    done = studio.ok("batch", "run", "films.yaml", AVATARCTL_RETENTION_SIZE="1T", AVATARCTL_RETENTION_DAYS="60")
    assert "retention" not in done.err
    assert studio.ok("batch", "run", "films.yaml", "--json").json["jobs"][0]["cached"]
    (studio.work / "avatarctl.toml").write_text('[retention]\nsize = "0"\n')
    done = studio.ok("batch", "run", "films.yaml")
    assert "left the cache" in done.err and len(studio.delivered()) == 1
    assert studio.ok("cache", "gc", "--json").json["actions"] == []
    studio.ok("enroll", str(portraits["hopper"]), "--name", "hopper")
    assert len(studio.ok("cache", "gc", "--dry-run", "--json").json["actions"]) >= 1
    assert studio.ok("cache", "gc", "--dry-run", "--max-size", "1T", "--json").json["actions"] == []
    assert len(studio.ok("cache", "gc", "--json").json["actions"]) >= 1
    for wrong in (
        '[retention]\nsize = "much"\n',
        "[retention]\ndays = -1\n",
        "[retention]\nmonths = 1\n",
        "retention = 5\n",
    ):
        (studio.work / "avatarctl.toml").write_text(wrong)
        assert studio.run("cache", "gc").code == 3
