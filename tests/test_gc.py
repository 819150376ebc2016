from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarctl.store import gc
from avatarctl.store.model import DocumentRecord, Manifest, RunRecord, now
from avatarctl.store.store import Store
from avatarctl.store.verify import verify
from tests.store_support import Maker, enrol, finish, start
from tests.tools import Studio, refused


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "home") as opened:
        yield opened


def used(store: Store, manifest: Manifest, day: int) -> None:
    with store.ledger.write() as connection:
        connection.execute(
            "UPDATE actions SET last_used = ? WHERE key = ?", (f"2020-01-{day:02}T00:00:00.000Z", manifest.key)
        )


def test_nothing_is_collected_from_a_tidy_store(store: Store) -> None:
    maker = Maker(store)
    text = store.add_bytes(b"text", "text/plain")
    made = maker.make("speak", {"text": text.digest})
    enrol(store, maker, "Anna", b"photo", b"sample")
    plan = gc.plan(store)
    assert (plan.actions, plan.files, plan.leftovers, plan.freed) == ((), (), (), 0)
    assert plan.kept == sum(store.cas.size(d) for d in store.cas)
    gc.apply(store, plan)
    assert store.lookup(made.key) == made


def test_orphans_and_leftovers_are_collected(store: Store) -> None:
    maker = Maker(store)
    kept = maker.make("kept")
    replaced = maker.make("replaced", outputs={"out": b"first"}).outputs["out"].digest
    maker.make("replaced", outputs={"out": b"second"}, replace=True)
    orphan, _ = store.cas.add_bytes(b"a file without a row")
    unused = store.add_bytes(b"given, but nothing came of it", "text/plain").digest
    left = store.tmp_folder / "01DEAD" / "work" / "frame.png"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x" * 100)
    damaged, _ = store.cas.add_bytes(b"damaged")
    store.cas.quarantine(damaged, "test")
    recent, _ = store.cas.add_bytes(b"recent")
    store.cas.quarantine(recent, "test")
    for path in (store.cas.quarantined / damaged, (store.cas.quarantined / damaged).with_suffix(".txt")):
        os.utime(path, (0, 0))
    plan = gc.plan(store)
    assert {d for d, _ in plan.files} == {replaced, orphan, unused}
    assert [Path(p).name for p in plan.leftovers] == ["01DEAD", damaged, damaged + ".txt"]
    assert plan.freed == 5 + 20 + 29 + 100 + 7 + 5
    assert gc.apply(store, plan) == plan
    assert sorted(p.stem for p in store.cas.quarantined.iterdir()) == [recent, recent]
    assert store.lookup(kept.key) == kept
    assert not left.exists() and not (store.cas.path(orphan)).exists()
    assert gc.plan(store).freed == 0
    assert verify(store).damaged == ()


def test_the_least_recently_used_go_first(store: Store) -> None:
    maker = Maker(store)
    made = [maker.make(f"clip {i}", outputs={"out": bytes([i]) * 100}) for i in range(5)]
    for day, manifest in zip((3, 1, 5, 2, 4), made, strict=True):
        used(store, manifest, day)
    plan = gc.plan(store, max_bytes=250)
    assert [a.key for a in plan.actions] == [made[1].key, made[3].key, made[0].key]
    assert (plan.freed, plan.kept) == (300, 200)
    assert gc.plan(store) == replace(plan, max_bytes=None, actions=(), files=(), freed=0, kept=500)
    assert gc.apply(store, plan) == plan
    assert [store.lookup(m.key) is not None for m in made] == [False, False, True, False, True]


def test_what_is_pinned_stays_until_it_is_let_go(store: Store) -> None:
    old, fresh = Maker(store), Maker(store)
    text = store.add_bytes(b"text", "text/plain")
    kept = old.make("film", {"text": text.digest}, outputs={"out": b"f" * 100})
    gone = fresh.make("other", outputs={"out": b"o" * 100})
    used(store, kept, 1)
    used(store, gone, 2)
    assert store.ledger.pin_runs([old.run_id]) == 1 and store.ledger.pin_runs([old.run_id]) == 0
    plan = gc.plan(store, max_bytes=0, max_age_days=1)
    assert ([a.key for a in plan.actions], plan.pinned, plan.kept) == ([gone.key], 1, 104)
    gc.apply(store, plan)
    assert store.lookup(kept.key) == kept and store.cas.size(text.digest) == 4
    (pin,) = store.ledger.pins()
    assert (pin.run_id, pin.steps, pin.kept, pin.bytes) == (old.run_id, 1, 1, 100)
    # A hit of a pinned run is its step as much as one that it made.
    store.ledger.pin_runs([fresh.run_id])
    assert [p.kept for p in store.ledger.pins()].count(0) == 1
    assert store.ledger.unpin_runs([old.run_id, "nobody"]) == 1
    assert [a.key for a in gc.apply(store, gc.plan(store, max_bytes=0)).actions] == [kept.key]


def test_pins_are_given_on_the_command_line(studio: Studio) -> None:
    film = studio.ok("render", "Раз.").out.strip()
    pinned = studio.ok("cache", "pin", film, "last", "--json").json["pins"]
    assert len(pinned) == 1 and pinned[0]["kept"] == pinned[0]["steps"] > 3
    assert pinned[0]["run_id"] in studio.ok("cache", "pins").out
    collected = studio.ok("cache", "gc", "--max-size", "0", "--max-age", "0", "--json").json
    assert collected["pinned"] == pinned[0]["steps"]
    steps = studio.ok("render", "Раз.", "--json").json["run"]
    was = {step["status"] for step in studio.ok("runs", "show", steps, "--json").json["steps"]}
    assert was == {"hit"}
    assert studio.ok("ledger", "check", "--json").json["rows"]["pins"] == 1
    refused(studio.run("cache", "pin", "nothing.mp4"), 2, "there is no run")
    refused(studio.run("cache", "pin", str(studio.home / "ledger.sqlite")), 2, "no run delivered")
    assert studio.ok("cache", "unpin", film, "--json").json == {"schema_version": 1, "unpinned": 1}
    assert studio.ok("cache", "pins", "--json").json["pins"] == []


def test_what_cannot_be_made_again_goes_last(store: Store) -> None:
    maker = Maker(store)
    answer = maker.make("answer", outputs={"out": b"a" * 100}, sticky=True)
    clip = maker.make("clip", outputs={"out": b"c" * 100})
    used(store, answer, 1)
    used(store, clip, 2)
    assert [a.key for a in gc.plan(store, max_bytes=100).actions] == [clip.key]
    assert [a.key for a in gc.plan(store, max_bytes=0).actions] == [clip.key, answer.key]


def test_age(store: Store) -> None:
    maker = Maker(store)
    old, new = maker.make("old"), maker.make("new")
    with store.ledger.write() as connection:
        connection.execute("UPDATE actions SET last_used = '2001-01-01T00:00:00.000Z' WHERE key = ?", (old.key,))
    assert gc.plan(store, max_age_days=36_500).actions == ()
    plan = gc.plan(store, max_age_days=30)
    assert [a.key for a in plan.actions] == [old.key]
    gc.apply(store, plan)
    assert store.lookup(old.key) is None and store.lookup(new.key) == new


def test_a_shared_file_stays_while_one_needs_it(store: Store) -> None:
    maker = Maker(store)
    one, two = maker.make("one", outputs={"out": b"same"}), maker.make("two", outputs={"out": b"same"})
    used(store, one, 1)
    plan = gc.plan(store, max_age_days=1)
    assert [a.key for a in plan.actions] == [one.key] and plan.files == ()
    gc.apply(store, plan)
    assert store.lookup(two.key) == two


def test_avatars_and_documents_are_never_collected(store: Store) -> None:
    maker = Maker(store)
    anna = enrol(store, maker, "Anna", b"photo", b"sample")
    document = store.add_bytes(b"what she knows", "application/json")
    store.ledger.add_document(
        DocumentRecord(
            name="d.md",
            digest=document.digest,
            media_type="text/markdown",
            title="",
            language="en",
            added=now(),
            source="d.md",
        )
    )
    rig = maker.make("rig", {"portrait": anna.portrait})
    gc.apply(store, gc.plan(store, max_bytes=0))
    assert store.lookup(rig.key) is None
    assert all(store.cas.verify(digest) for digest in (*anna.files(), document.digest))
    assert verify(store).damaged == ()
    use = gc.stats(store)
    assert (use.pinned_files, use.orphan_files) == (6, 0)


def test_given_files_stay_while_something_was_made_of_them(store: Store) -> None:
    maker = Maker(store)
    recording = store.add_bytes(b"recording", "audio/wav")
    speech = maker.make("align", {"audio": recording.digest})
    clip = maker.make("animate", {"speech": speech.outputs["out"].digest})
    used(store, speech, 1)
    assert gc.plan(store).files == ()
    gc.apply(store, gc.plan(store, max_bytes=store.cas.size(clip.outputs["out"].digest)))
    assert store.artefact(recording.digest) is None
    assert store.lookup(speech.key) is None
    assert store.lookup(clip.key) == clip


def test_statistics(store: Store) -> None:
    maker = Maker(store)
    maker.make("one", outputs={"a": b"1" * 10, "b": b"2" * 20})
    maker.make("two", stage="animate", outputs={"a": b"3" * 30})
    store.cas.add_bytes(b"orphan")
    aside, _ = store.cas.add_bytes(b"damaged")
    store.cas.quarantine(aside, "test")
    use = gc.stats(store)
    assert [(s.stage, s.engine, s.actions, s.files, s.bytes) for s in use.stages] == [
        ("animate", "test", 1, 1, 30),
        ("speak", "test", 1, 2, 30),
    ]
    assert (use.files, use.bytes) == (4, 66)
    assert (use.orphan_files, use.orphan_bytes) == (1, 6)
    assert (use.quarantined_files, use.quarantined_bytes) == (1, 7)


def test_reading_is_enough_for_a_plan(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        Maker(store).make("x")
        store.cas.add_bytes(b"orphan")
    with Store.open(tmp_path, readonly=True) as reader:
        plan = gc.plan(reader, max_bytes=0)
        assert len(plan.files) == 2
    with Store.open(tmp_path) as store:
        assert gc.apply(store, plan) == plan


RUN = """
from pathlib import Path
from avatarctl.store.store import Store
from tests.store_support import Maker
with Store.open(Path(sys.argv[1])) as store:
    maker = Maker(store)
    with store.run_lock(maker.run_id), store.workspace(maker.run_id) as folder:
        (folder / "half").write_bytes(b"half a film")
        print(folder, flush=True)
        sys.stdin.readline()
        assert (folder / "half").exists()
    made = maker.make("late")
print("done")
"""


def test_a_collection_beside_a_run_leaves_what_it_works_with(tmp_path: Path) -> None:
    run = start(RUN, tmp_path)
    assert run.stdout is not None and run.stdin is not None
    folder = Path(run.stdout.readline().strip())
    with Store.open(tmp_path) as store:
        made = Maker(store).make("x")
        actual = gc.apply(store, gc.plan(store, max_bytes=0))
        assert [a.key for a in actual.actions] == [made.key]
        assert store.lookup(made.key) is None and (folder / "half").exists()
        run.stdin.write("go on\n")
        run.stdin.flush()
    assert finish(run) == "done"
    with Store.open(tmp_path) as store:
        assert len(gc.apply(store, gc.plan(store, max_bytes=0)).actions) == 1


def test_a_run_after_a_collection_is_undisturbed(tmp_path: Path) -> None:
    with Store.open(tmp_path) as one, Store.open(tmp_path) as two:
        gc.apply(one, gc.plan(one, max_bytes=0))
        two.ledger.start_run(RunRecord(id="R", recipe="ask"))
        gc.apply(two, gc.plan(two, max_bytes=0))
        made = Maker(one).make("x")
        assert two.lookup(made.key) == made


@settings(max_examples=15, deadline=None)
@given(
    contents=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 28)), min_size=1, max_size=8),
    limit=st.integers(0, 600),
)
def test_a_collection_does_what_its_dry_run_said(
    tmp_path_factory: pytest.TempPathFactory, contents: list[tuple[int, int]], limit: int
) -> None:
    with Store.open(tmp_path_factory.mktemp("gc")) as store:
        maker = Maker(store)
        before = ""
        for i, (letter, day) in enumerate(contents):
            inputs = {"in": before} if before else {}
            made = maker.make(f"{i}", inputs, outputs={"out": bytes([letter]) * 100})
            used(store, made, day)
            before = made.outputs["out"].digest
        plan = gc.plan(store, max_bytes=limit)
        there = set(store.cas)
        assert gc.apply(store, plan) == plan
        assert there - set(store.cas) == {digest for digest, _ in plan.files}
        assert sum(store.cas.size(d) for d in store.cas) == plan.kept <= limit
        assert verify(store).damaged == ()
        assert gc.plan(store, max_bytes=limit).freed == 0
