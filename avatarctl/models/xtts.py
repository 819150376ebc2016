"""XTTS-v2: the files that inference needs, of its repository's last revision.

Its ready-made speakers (`speakers_xtts.pth`) are left where they are: the enrolled voice is the one that speaks. Sizes
and digests are those of that revision, as several independent projects pin them.
"""

from __future__ import annotations

from avatarctl.models.entry import Licence, Model, hugging_face

FOLDER = "xtts-v2"
CPML = Licence(
    name="CPML",
    url="https://coqui.ai/cpml.txt",
    accept="the Coqui Public Model License: neither the model nor what it says may be used commercially",
)

_REPOSITORY, _REVISION = "coqui/XTTS-v2", "6c2b0d75eae4b7047358e3b6bd9325f857d43f77"
_FILES = (
    ("model.pth", "weights", 1_867_929_118, "c7ea20001c6a0a841c77e252d8409f6a74fb423e79b3206a0771ba5989776187"),
    ("config.json", "config", 4_368, "ef262b1454dd2a77e1461b0b2cd53e19b8a7624cc131b837d36df67356bc75e8"),
    ("vocab.json", "vocabulary", 361_219, "928260878a59da8a72a2a5b7687fea29d5106137669d90945430fe17e415304a"),
)

MODELS = tuple(
    Model(
        name=f"{FOLDER}-{role}",
        summary=f"XTTS-v2 (467 M parameters), voice cloning in 17 languages: {file}",
        licence=CPML,
        sources=(hugging_face(_REPOSITORY, _REVISION, file),),
        folder=FOLDER,
        role=role,
        file=file,
        sha256=sha256,
        size=size,
        verified=False,
        needed_by=("speak/xtts",),
    )
    for file, role, size, sha256 in _FILES
)
