"""A photo and perhaps a voice become an avatar.

photo  -> portrait -> (upscale ->) rig
sample -> voiceprint
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avatarctl.files import readable_file
from avatarctl.recipes import film, restore
from avatarctl.runtime.runner import Run
from avatarctl.store.model import AvatarRecord, Manifest, new_id, now

MAX_PHOTO_BYTES = 200 * 2**20
MAX_SAMPLE_BYTES = 500 * 2**20


@dataclass(frozen=True)
class Enrolled:
    """The avatar, and whether the very same one was there before."""

    avatar: AvatarRecord
    known: bool


def enroll(
    run: Run,
    photo: Path,
    sample: Path | None,
    *,
    name: str,
    persona: str = "",
    consent_by: str = "",
    face: int = 0,
) -> Enrolled:
    """Judge photo and voice, build the rig, and record the avatar as the next version of its name."""
    picture = run.store.add_file(readable_file(photo, MAX_PHOTO_BYTES, "photo"), "application/octet-stream")
    portrait = run.step("portrait", {"photo": picture}, label=name, face=face)
    sound = voiceprint = None
    if sample is not None:
        sound = run.store.add_file(readable_file(sample, MAX_SAMPLE_BYTES, "voice"), "application/octet-stream")
        voiceprint = run.step("voiceprint", {"sample": sound}, label=name)
    made = run.wait(portrait)
    heard = run.wait(voiceprint) if voiceprint else None
    avatar = AvatarRecord(
        id=new_id(),
        name=name,
        version=0,
        photo=picture.digest,
        sample=sound.digest if sound else "",
        portrait=made.outputs["portrait"].digest,
        preview=made.outputs["preview"].digest,
        voice=heard.outputs["voice"].digest if heard else "",
        portrait_report=_report(run, made),
        voice_report=_report(run, heard) if heard else None,
        persona=persona,
        consent_by=consent_by,
        created=now(),
    )
    rig = film.rig(run, avatar)
    if rig is not None:
        if remark := restore.remark(run, avatar.portrait_report):
            run.note(remark)
        run.wait(rig)
    same = _same(run.store.ledger.avatar_or_none(name), avatar)
    if same is not None:
        return Enrolled(same, known=True)
    return Enrolled(run.store.ledger.add_avatar(avatar), known=False)


def _same(before: AvatarRecord | None, avatar: AvatarRecord) -> AvatarRecord | None:
    fields = ("photo", "sample", "portrait", "voice", "persona", "consent_by")
    if before is not None and all(getattr(before, f) == getattr(avatar, f) for f in fields):
        return before
    return None


def _report(run: Run, manifest: Manifest) -> dict[str, object]:
    import json

    path = run.store.cas.path(manifest.outputs["report"].digest)
    document: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return document
