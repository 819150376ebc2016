"""Voices of Piper: each a network and its settings, of one revision of the published collection.

Sizes and digests are those of that revision, as many independent projects pin them. The collection is under the MIT
licence; what it says of each voice's recordings stands in its model card, to which the entry's licence points.
"""

from __future__ import annotations

from avatarctl.models.entry import Licence, Model, hugging_face

_REPOSITORY, _REVISION = "rhasspy/piper-voices", "c10ece1aade47bb51c153c893d14e5bf8e5b7117"
_VOICES = (
    (
        "irina",
        "ru_RU-irina-medium",
        "Russian, a woman; recordings: terms not stated",
        (63_201_294, "8ff38212d23da300bbe3705c645e6e5b9475f0bfde01558eb17813e22acaaaaa"),
        (4_765, "c2ec28bb38e2b59e93b959b3e40348c1afebbd272f30fed5d41205d08e98a9d7"),
    ),
    (
        "dmitri",
        "ru_RU-dmitri-medium",
        "Russian, a man; recordings: CC0",
        (63_201_294, "f073356ebc4bd0f80c5af58df2953a5988bd5bdab1eb38635ce960b071fbefcb"),
        (4_824, "667ef3117bc642c2892dff7690d8bdc8ca4228aeaa783b2dc1416df632855e0d"),
    ),
    (
        "denis",
        "ru_RU-denis-medium",
        "Russian, a man; recordings: CC0",
        (63_201_294, "15fab56e11a097858ee115545d0f697fc2a316c41a291a5362349fb870411b0a"),
        (4_823, "831c860dac0b5073eaa81610a0a638ec23d90a6cf8e5f871b4485c2cec3767c8"),
    ),
    (
        "ljspeech",
        "en_US-ljspeech-medium",
        "English, a woman; recordings: public domain",
        (63_531_379, "6f52a751e2349abe7a76735eb09dc1875298c77ea2342ffd2fef79ff81b87f22"),
        (4_972, "141d612cc0a95ed7efc1ca936b845c2364967f2e9217c5dbfcf69fc4d6c65860"),
    ),
)


def _folder(voice: str) -> str:
    """`ru_RU-irina-medium` to `ru/ru_RU/irina/medium`, as the collection lies."""
    language, name, quality = voice.split("-")
    return f"{language.partition('_')[0]}/{language}/{name}/{quality}"


def _entry(name: str, voice: str, remark: str, role: str, size: int, sha256: str) -> Model:
    file = f"{voice}.onnx" + (".json" if role == "settings" else "")
    card = f"https://huggingface.co/{_REPOSITORY}/blob/{_REVISION}/{_folder(voice)}/MODEL_CARD"
    return Model(
        name=f"piper-{name}-{role}",
        summary=f"Piper's voice {voice} ({remark}): {role}",
        licence=Licence(name="MIT", url=card),
        sources=(hugging_face(_REPOSITORY, _REVISION, f"{_folder(voice)}/{file}"),),
        folder=f"piper-{name}",
        role=role,
        file=file,
        sha256=sha256,
        size=size,
        verified=False,
        needed_by=("speak/piper",),
    )


MODELS = tuple(
    _entry(name, voice, remark, role, *which)
    for name, voice, remark, network, settings in _VOICES
    for role, which in (("network", network), ("settings", settings))
)
