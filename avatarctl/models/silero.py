"""Silero's Russian voices: packages of torch, which carry their own code, so that their digests are what protects.

The size and the digest of v5_5_ru are those that many independent projects pin. Of v4_ru nobody says the size, so what
comes first is pinned; its engine knows the digest, and opens nothing else.
"""

from __future__ import annotations

from avatarctl.models.entry import HttpsSource, Licence, Model

_LICENCE = Licence(
    name="CC-BY-NC-SA-4.0",
    url="https://github.com/snakers4/silero-models/blob/master/LICENSE",
    accept="CC BY-NC-SA 4.0: Silero's voices are not used commercially, and what is made of them names Silero",
)
_FILES = (
    (
        "v5_5_ru",
        "version 5.5, five voices, stresses, homographs and questions by itself",
        145_420_684,
        "50081637b602126ee06cb3bc8a744d25651d2da149ee8864b9a379bfdd934437",
    ),
    # No more than this is accepted.
    ("v4_ru", "version 4, five voices, stresses by itself", 100_000_000, ""),
)

MODELS = tuple(
    Model(
        name=f"silero-{file.replace('_', '-')}",
        summary=f"Silero's Russian voices, {remark}",
        licence=_LICENCE,
        sources=(HttpsSource(url=f"https://models.silero.ai/models/tts/ru/{file}.pt"),),
        file=f"{file}.pt",
        sha256=sha256,
        size=size,
        verified=False,
        needed_by=("speak/silero",),
    )
    for file, remark, size, sha256 in _FILES
)
