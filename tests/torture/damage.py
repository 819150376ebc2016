"""A flipped bit in every kind of file that avatarctl keeps: found, set aside, made again."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from tests.tools import Studio
from tests.torture.workshop import FILE, MODELS, Row, Workshop, films, ledger, told

FEW = ("раз", "два")
MORE = "  - {name: movements, text: Три., subtitles: true, export: [visemes, blendshapes]}\n"
"""So that there is an artefact of every kind."""


@dataclass(frozen=True)
class Kind:
    """A stage's output, or a text that was given; one artefact of it."""

    name: str
    digest: str
    read: bool = False
    """Whether a step reads it. What none reads is found by `cache verify`, or when it is delivered."""


def kinds(studio: Studio) -> list[Kind]:
    """One artefact of every kind that the cache can make again."""
    connection = ledger(studio)
    made = connection.execute(
        "SELECT a.stage || '/' || o.role, o.digest, EXISTS (SELECT 1 FROM action_inputs i WHERE i.digest = o.digest) "
        "FROM actions a JOIN action_outputs o USING (key) "
        "WHERE o.digest NOT IN (SELECT digest FROM pinned) GROUP BY a.stage, o.role ORDER BY 1"
    ).fetchall()
    given = connection.execute("SELECT 'text', digest, 1 FROM action_inputs WHERE role = 'text' LIMIT 1").fetchall()
    connection.close()
    return [Kind(*row) for row in made + given]


def flip(path: Path, bit: int | None = None) -> None:
    """Change one bit; size and time stay, as on a disk that rots."""
    data = bytearray(path.read_bytes())
    bit = len(data) * 4 if bit is None else bit
    data[bit // 8] ^= 1 << bit % 8
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(before.st_mode & 0o777)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def stored(studio: Studio, digest: str) -> Path:
    return studio.home / "cas" / digest[:2] / digest


def damage(shop: Workshop) -> list[Row]:
    """Every kind of artefact in turn: found by `cache verify`, and found by the step that reads it."""
    studio = shop.studio(MORE, FEW)
    studio.ok("batch", "run", FILE)
    whole = everything(studio)
    found = kinds(studio)
    groups = [found] if shop.quick else [[kind] for kind in found]
    verified = [fault for group in groups for fault in _verified(studio, group, whole)]
    read = [fault for group in groups for fault in _read(studio, [k for k in group if k.read], whole)]
    outputs = _outputs(studio, whole)
    shop.drop(studio)
    told_kinds = f"{len(found)} kinds of artefact"
    return [
        Row(f"a flipped bit in {told_kinds}, then `cache verify`", f"wrong: {told(verified)}",
            "found, quarantined, made again bit-identical", not verified),
        Row(f"a flipped bit in {told_kinds}, read by the next step", f"wrong: {told(read)}",
            "the same, without being asked", not read),
        Row("a flipped bit in delivered films", f"wrong: {told(outputs)}", "delivered anew", not outputs),
        *_owned(shop),
        _models(shop),
        _ledgers(shop),
    ]  # fmt: skip


def everything(studio: Studio) -> dict[str, bytes]:
    """All that was delivered, by its name."""
    return {p.name: p.read_bytes() for p in (studio.work / "outputs").iterdir()}


def _faults(studio: Studio, group: list[Kind], whole: dict[str, bytes]) -> list[str]:
    """After the damage: the same command again, and then nothing may be wrong any more."""
    shutil.rmtree(studio.work / "outputs")
    # Each attempt at a film finds one of its files damaged.
    again = studio.run("batch", "run", FILE, "--retries", "8")
    name = group[0].name if len(group) == 1 else "all at once"
    faults = []
    if again.code != 0 or "Traceback" in again.err:
        faults.append(f"{name}: the batch ended with {again.code}: {again.err[-300:]}")
    differing = {n for n in whole if everything(studio).get(n) != whole[n]}
    if differing:
        faults.append(f"{name}: {', '.join(sorted(differing))} differ")
    if (after := studio.run("cache", "verify")).code != 0:
        faults.append(f"{name}: still damaged: {after.err[-200:]}")
    return faults


def _verified(studio: Studio, group: list[Kind], whole: dict[str, bytes]) -> list[str]:
    for kind in group:
        flip(stored(studio, kind.digest))
    report = studio.run("cache", "verify", "--json")
    seen = {d["digest"] for d in report.json["damaged"]}
    wrong = [f"{kind.name} was not found" for kind in group if kind.digest not in seen]
    wrong += [f"exit code {report.code}"] if report.code != 1 else []
    wrong += [f"{k.name} is not in quarantine" for k in group if not (studio.home / "quarantine" / k.digest).exists()]
    return wrong + _faults(studio, group, whole)


def _read(studio: Studio, group: list[Kind], whole: dict[str, bytes]) -> list[str]:
    """Damage it, and let everything that was made of it be forgotten, so that it is read."""
    if not group:
        return []
    connection = ledger(studio)
    with connection:
        for kind in group:
            flip(stored(studio, kind.digest))
            connection.execute(
                "DELETE FROM actions WHERE key IN (SELECT key FROM action_inputs WHERE digest = ?)", (kind.digest,)
            )
    connection.close()
    return _faults(studio, group, whole)


def _outputs(studio: Studio, whole: dict[str, bytes]) -> list[str]:
    for path in (studio.work / "outputs").iterdir():
        flip(path)
    studio.ok("batch", "run", FILE)
    return [f"{name} differs" for name, data in everything(studio).items() if whole[name] != data]


def _owned(shop: Workshop) -> list[Row]:
    """The files of an avatar: only their owner can give them again."""
    studio = shop.studio(words=FEW)
    studio.ok("batch", "run", FILE)
    connection = ledger(studio)
    owned = [Kind(*row) for row in connection.execute("SELECT owner, digest FROM pinned ORDER BY digest")]
    connection.close()
    photo = str(next((MODELS / "portrait-astronaut").glob("*.png")))
    wrong = []
    for number, kind in enumerate(owned):
        flip(stored(studio, kind.digest))
        told_so = studio.run("batch", "run", FILE)
        if told_so.code not in (0, 2, 4) or "Traceback" in told_so.err:
            wrong.append(f"file {number}: {told_so.code}: {told_so.err[-300:]}")
        if told_so.code != 0 and "enrol" not in told_so.err:
            wrong.append(f"file {number}: does not say to enrol again: {told_so.err[-300:]}")
        if studio.run("enroll", photo, "--name", "astronaut").code != 0:  # it found the damage, and asks for it again
            studio.ok("enroll", photo, "--name", "astronaut")
        shutil.rmtree(studio.work / "outputs")
        wrong += [] if studio.run("batch", "run", FILE).code == 0 else [f"file {number}: not mended"]
        wrong += [f"{name} differs" for name, data in films(studio).items() if data != shop.whole[name]]
    shop.drop(studio)
    return [
        Row(f"a flipped bit in each of the {len(owned)} files of an avatar", f"wrong: {told(wrong)}",
            "found, says to enrol again; then films bit-identical", not wrong)
    ]  # fmt: skip


def _models(shop: Workshop) -> Row:
    studio = shop.studio(words=FEW[:1])
    models = studio.home / "models"
    models.unlink()
    shutil.copytree(MODELS, models)
    files = [p for p in models.rglob("*") if p.is_file() and p.suffix in (".tflite", ".onnx", ".bin", ".param")]
    wrong = []
    for path in files:
        flip(path)
    result = studio.run("models", "verify")
    wrong += [] if result.code not in (0,) and "Traceback" not in result.err else [f"verify: {result.code}"]
    for folder in {p.parent.name for p in files}:
        if folder not in result.out + result.err:
            wrong.append(f"{folder} was not found")
    studio.run("models", "pull", "face", "upscaler", AVATARCTL_MODELS_MIRRORS=str(MODELS))
    after = studio.run("models", "verify")
    wrong += [] if after.code == 0 else [f"after the pull: {after.err[-300:]}"]
    shop.drop(studio)
    return Row(f"a flipped bit in {len(files)} files of models, then `models verify`, `models pull`",
               f"wrong: {told(wrong)}", "found, fetched again", not wrong)  # fmt: skip


def _ledgers(shop: Workshop) -> Row:
    """Random bits of the ledger's file: a right answer, or one clear error; never a traceback or a fault of ours."""
    studio = shop.studio(words=FEW)
    studio.ok("batch", "run", FILE)
    connection = sqlite3.connect(studio.home / "ledger.sqlite")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    good = (studio.home / "ledger.sqlite").read_bytes()
    chance = shop.chance("ledger")
    count = 6 if shop.quick else 60
    wrong, refused = [], 0
    for _ in range(count):
        for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
            (studio.home / name).unlink(missing_ok=True)
        data = bytearray(good)
        bit = chance.randrange(len(data) * 8) if chance.random() < 0.7 else chance.randrange(4096 * 8)
        data[bit // 8] ^= 1 << bit % 8
        (studio.home / "ledger.sqlite").write_bytes(data)
        for arguments in (("runs", "show", "last"), ("batch", "run", FILE)):
            result = studio.run(*arguments)
            refused += result.code != 0
            if result.code not in (0, 4) or "Traceback" in result.err:
                wrong.append(f"bit {bit}: {' '.join(arguments)}: {result.code}: {result.err[-250:]}")
    shop.drop(studio)
    return Row(f"a flipped bit at {count} random places of the ledger, 2 commands each",
               f"{refused} refused it; wrong: {told(wrong)}", "a right result, or one clear error (exit 4)",
               not wrong)  # fmt: skip
