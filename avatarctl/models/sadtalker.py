"""SadTalker: its weights as they were published for version 0.0.2, and its source at its last commit.

Digests of the weights are those that independent projects pin, but for the one of 512, which was found in one place
alone; its size is that of 256, whose layout it shares. The archive of the source has no published digest, so it is
pinned by the machine that fetches it; and nothing in it is run that differs from the commit (`engines/sadtalker`).
"""

from __future__ import annotations

from avatarctl.models.entry import HttpsSource, Licence, Model, Source

FOLDER = "sadtalker"
_COMMIT = "cd4c0465ae0b54a6f85af57f5c65fec9fe23e7f8"
_RELEASE = "https://github.com/OpenTalker/SadTalker/releases/download/v0.0.2-rc/"
_LICENCE = Licence(
    name="Apache-2.0 in part",
    url=f"https://github.com/OpenTalker/SadTalker/blob/{_COMMIT}/README.md",
    accept="that SadTalker is Apache-2.0, but parts of its renderer come from others without clear terms, and its "
    "weights were trained on data sets for research: whether you may use its films is for you to settle",
)
_NEEDED_BY = ("rig/sadtalker", "animate/sadtalker")
_WEIGHTS = (
    (
        "256",
        "networks that draw 256 pixels",
        "SadTalker_V0.0.2_256.safetensors",
        725_066_984,
        "c211f5d6de003516bf1bbda9f47049a4c9c99133b1ab565c6961e5af16477bff",
        _NEEDED_BY,
    ),
    (
        "512",
        "networks that draw 512 pixels",
        "SadTalker_V0.0.2_512.safetensors",
        725_066_984,
        "0e063f7ff5258240bdb0f7690783a7b1374e6a4a81ce8fa33456f4cd49694340",
        _NEEDED_BY,
    ),
    (
        "mapping-full",
        "from coefficients to keypoints, for the whole photo",
        "mapping_00109-model.pth.tar",
        155_779_231,
        "84a8642468a3fcfdd9ab6be955267043116c2bec2284686a5262f1eaf017f64c",
        _NEEDED_BY[1:],
    ),
    (
        "mapping-crop",
        "from coefficients to keypoints, for the face's square",
        "mapping_00229-model.pth.tar",
        155_521_183,
        "62a1e06006cc963220f6477438518ed86e9788226c62ae382ddc42fbcefb83f1",
        _NEEDED_BY[1:],
    ),
)


def _model(
    role: str, summary: str, file: str, size: int, sha256: str, needed_by: tuple[str, ...], source: Source | None = None
) -> Model:
    return Model(
        name=f"{FOLDER}-{role}",
        summary=f"SadTalker 0.0.2: {summary}",
        licence=_LICENCE,
        sources=(source or HttpsSource(url=_RELEASE + file),),
        folder=FOLDER,
        role=role,
        file=file,
        sha256=sha256,
        size=size,
        verified=False,
        needed_by=needed_by,
    )


MODELS = (
    *(_model(*entry) for entry in _WEIGHTS),
    _model(
        "program",
        "its source code, of which the networks are imported",
        f"SadTalker-{_COMMIT[:12]}.zip",
        # Of the whole archive, examples and all: no more than this is accepted.
        80_000_000,
        "",
        _NEEDED_BY,
        HttpsSource(url=f"https://github.com/OpenTalker/SadTalker/archive/{_COMMIT}.zip"),
    ),
)
