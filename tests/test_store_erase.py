from __future__ import annotations

from pathlib import Path

import pytest

from avatarctl.errors import BadInput, Busy
from avatarctl.store import gc
from avatarctl.store.erase import derived, erase
from avatarctl.store.model import AvatarRecord, Manifest
from avatarctl.store.store import Store
from avatarctl.store.verify import verify
from tests.store_support import Maker, enrol


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "home") as opened:
        yield opened


def film_of(
    store: Store, maker: Maker, face: AvatarRecord, text: str, voice: AvatarRecord | None = None
) -> dict[str, Manifest]:
    """The steps of a film, as recipes chain them."""
    voice = voice or face
    said = store.add_bytes(text.encode(), "text/plain")
    report = store.add_bytes(voice.voice_report_text().encode(), "application/json")
    rig = maker.make("rig", {"portrait": face.portrait}, stage="rig", outputs={"rig": f"rig {face.photo}".encode()})
    speech = maker.make(
        "speak",
        {"text": said.digest, "voice_report": report.digest},
        outputs={"speech": f"{text} by {voice.name}".encode(), "timings": f"timings of {text}".encode()},
    )
    sound = {role: speech.outputs[role].digest for role in ("speech", "timings")}
    clip = maker.make(
        "animate",
        {**sound, "rig": rig.outputs["rig"].digest},
        stage="animate",
        outputs={"clip": f"clip {face.photo} {text} by {voice.name}".encode()},
    )
    film = maker.make(
        "finish",
        {"clip.000": clip.outputs["clip"].digest, "speech.000": sound["speech"]},
        stage="finish",
        outputs={"film": f"film {face.photo} {text} by {voice.name}".encode()},
    )
    return {"rig": rig, "speak": speech, "animate": clip, "finish": film}


def deliver(store: Store, maker: Maker, film: Manifest, path: Path) -> None:
    artefact = film.outputs["film"]
    store.deliver(artefact, path)
    delivered = [*store.ledger.run(maker.run_id).outputs]
    delivered.append({"path": str(path), "digest": artefact.digest, "role": "film"})
    store.ledger.finish_run(maker.run_id, "done", outputs=delivered)


def everything(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


def test_a_person_is_gone_and_others_stay(store: Store, tmp_path: Path) -> None:
    maker = Maker(store)
    anna = enrol(store, maker, "Anna", b"photo-of-anna", b"voice-sample-of-anna")
    anna2 = enrol(store, maker, "Anna", b"second-photo-of-anna", b"voice-sample-of-anna")
    boris = enrol(store, maker, "Boris", b"photo-of-boris", b"sample of boris")
    answer = maker.make("answer", {"question": store.add_bytes(b"who?", "text/plain").digest}, stage="answer")
    hers, hers2 = film_of(store, maker, anna, "Hello."), film_of(store, maker, anna2, "Hello.")
    his = film_of(store, maker, boris, "Hello.")
    films = {name: tmp_path / "outputs" / f"{name}.mp4" for name in ("hers", "edited", "his", "gone")}
    deliver(store, maker, hers["finish"], films["hers"])
    deliver(store, maker, hers2["finish"], films["edited"])
    deliver(store, maker, his["finish"], films["his"])
    deliver(store, maker, hers["finish"], films["gone"])
    films["gone"].unlink()
    films["edited"].write_bytes(b"edited by the user")

    report = erase(store, store.ledger.avatar("Anna"))

    assert (report.name, report.versions) == ("Anna", 2)
    assert report.steps == {"animate": 2, "finish": 2, "portrait": 2, "rig": 2, "speak": 1, "voiceprint": 1}
    assert report.deleted == (str(films["hers"]),)
    assert report.left == ((str(films["edited"]), "it was changed after it was delivered"),)
    assert {name for name, path in films.items() if path.exists()} == {"edited", "his"}
    with pytest.raises(BadInput):
        store.ledger.avatar("Anna")
    for step in (*hers.values(), *hers2.values()):
        assert store.lookup(step.key) is None
    for step in (*his.values(), answer):
        assert store.lookup(step.key) == step
    assert verify(store).damaged == ()
    assert gc.plan(store).freed == 0
    assert [o["path"] for o in store.ledger.run(maker.run_id).outputs] == [str(films["his"])]
    assert all(store.cas.verify(digest) for digest in boris.files())
    rest = everything(tmp_path / "home")
    for trace in (b"photo-of-anna", b"voice-sample-of-anna", anna.photo.encode(), anna.voice.encode(), b"by Anna"):
        assert trace not in rest
    assert b"photo-of-boris" in rest


def test_what_two_people_share_stays(store: Store) -> None:
    maker = Maker(store)
    anna = enrol(store, maker, "Anna", b"one photo", b"sample of anna")
    twin = enrol(store, maker, "Twin", b"one photo", b"sample of twin")
    hers, theirs = film_of(store, maker, anna, "Hi."), film_of(store, maker, twin, "Hi.")
    assert hers["rig"] == theirs["rig"]
    erase(store, anna)
    assert store.lookup(hers["speak"].key) is None and store.lookup(hers["finish"].key) is None
    assert all(store.lookup(step.key) == step for step in theirs.values())
    assert all(store.cas.verify(digest) for digest in twin.files())
    erase(store, twin)
    assert list(store.cas) == []


def test_a_film_with_her_voice_and_his_face_is_hers_too(store: Store) -> None:
    maker = Maker(store)
    anna = enrol(store, maker, "Anna", b"photo of anna", b"sample of anna")
    boris = enrol(store, maker, "Boris", b"photo of boris", b"sample of boris")
    mixed = film_of(store, maker, boris, "Hi.", voice=anna)
    erase(store, anna)
    assert store.lookup(mixed["rig"].key) == mixed["rig"]
    assert store.lookup(mixed["animate"].key) is None and store.lookup(mixed["finish"].key) is None


def test_films_are_found_after_the_steps_between_were_collected(store: Store, tmp_path: Path) -> None:
    maker = Maker(store)
    anna = enrol(store, maker, "Anna", b"photo", b"sample")
    steps = film_of(store, maker, anna, "Hi.")
    other = film_of(store, maker, anna, "Bye.")
    deliver(store, maker, steps["finish"], tmp_path / "collected.mp4")
    deliver(store, maker, other["finish"], tmp_path / "kept.mp4")
    gc.forget(store, [other["speak"].key, other["animate"].key], [])
    gc.forget(store, [s.key for s in steps.values()], [a.digest for s in steps.values() for a in s.outputs.values()])
    report = erase(store, anna)
    assert store.lookup(other["finish"].key) is None
    assert set(report.deleted) == {str(tmp_path / "collected.mp4"), str(tmp_path / "kept.mp4")}
    assert list(store.cas) == []


def test_a_film_taken_in_again_is_still_hers(store: Store, tmp_path: Path) -> None:
    maker = Maker(store)
    anna = enrol(store, maker, "Anna", b"photo", b"sample")
    film = film_of(store, maker, anna, "Hi.")["finish"].outputs["film"]
    store.deliver(film, tmp_path / "film.mp4")
    again = store.add_file(tmp_path / "film.mp4", "application/octet-stream")
    larger = maker.make("upscale", {"media": again.digest}, stage="upscale")
    assert larger.key in derived(store.ledger, {anna.photo}).actions
    erase(store, anna)
    assert list(store.cas) == []


def test_damaged_files_of_hers_go_too(store: Store) -> None:
    maker = Maker(store)
    anna = enrol(store, maker, "Anna", b"photo")
    store.cas.quarantine(anna.portrait, "test")
    (store.tmp_folder / "01DEAD").mkdir(parents=True)
    erase(store, anna)
    assert list(store.cas.quarantined.iterdir()) == []
    assert not (store.tmp_folder / "01DEAD").exists()


def test_an_interrupted_erasure_can_be_done_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = Maker(store)
    anna = enrol(store, maker, "Anna", b"photo", b"sample")
    film_of(store, maker, anna, "Hi.")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(gc, "forget", stop)
        erase(store, anna)
    assert store.ledger.avatar("Anna") == anna
    report = erase(store, anna)
    assert report.versions == 1
    assert store.ledger.avatars() == [] and list(store.cas) == []
    assert store.ledger.rows("SELECT * FROM artefacts") == store.ledger.rows("SELECT * FROM origins") == []


def test_nobody_is_erased_beside_a_run(store: Store, tmp_path: Path) -> None:
    anna = enrol(store, Maker(store), "Anna", b"photo")
    with Store.open(tmp_path / "home"), pytest.raises(Busy):
        erase(store, anna)
    assert store.ledger.avatar("Anna") == anna and store.cas.verify(anna.photo)
