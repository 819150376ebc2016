"""What the published conversions of OpenAI's Whisper for CTranslate2 hold: files, sizes and digests.

A model is a folder of four or five files. Each repository is pinned to a revision. Systran's are those that
faster-whisper names; sizes and digests are those of that revision, as several independent projects pin them.
"""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.models.entry import MIT, Model, hugging_face


@dataclass(frozen=True, slots=True)
class Conversion:
    """One model. `repository` and `revision` of Hugging Face; `files`: name, bytes, SHA-256."""

    name: str
    summary: str
    repository: str
    revision: str
    files: tuple[tuple[str, int, str], ...]


_TOKENIZER = ("tokenizer.json", 2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab")
_VOCABULARY = ("vocabulary.txt", 459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913")
_V3_VOCABULARY = ("vocabulary.json", 1_068_114, "c69260f2ab26d659b7c398f9a2b2b48ed0df16c3b47d7326782fd9cba71690c1")
_V3_FEATURES = ("preprocessor_config.json", 340, "7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711")

CONVERSIONS = (
    Conversion(
        "whisper-tiny",
        "Whisper tiny (39 M parameters), 99 languages: for trials",
        "Systran/faster-whisper-tiny",
        "d90ca5fe260221311c53c58e660288d3deb8d356",
        (
            ("model.bin", 75_538_270, "dcb76c6586fc06cbdac6dd21f14cfd129cc4cdd9dce19bf4ffa62e59cbe6e6d1"),
            ("config.json", 2_249, "a73a28cdfe1c43ccc7202fa333d1f89c202477271407ae9a7f19afa52039cac8"),
            _TOKENIZER,
            _VOCABULARY,
        ),
    ),
    Conversion(
        "whisper-base",
        "Whisper base (74 M parameters), 99 languages: quick on a CPU",
        "Systran/faster-whisper-base",
        "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
        (
            ("model.bin", 145_217_532, "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"),
            ("config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
            _TOKENIZER,
            _VOCABULARY,
        ),
    ),
    Conversion(
        "whisper-small",
        "Whisper small (244 M parameters), 99 languages: the usual one on a CPU",
        "Systran/faster-whisper-small",
        "536b0662742c02347bc0e980a01041f333bce120",
        (
            ("model.bin", 483_546_902, "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671"),
            ("config.json", 2_370, "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828"),
            _TOKENIZER,
            _VOCABULARY,
        ),
    ),
    Conversion(
        "whisper-medium",
        "Whisper medium (769 M parameters), 99 languages",
        "Systran/faster-whisper-medium",
        "08e178d48790749d25932bbc082711ddcfdfbc4f",
        (
            ("model.bin", 1_527_906_378, "9b45e1009dcc4ab601eff815b61d80e60ce3fd8c74c1a14f4a282258286b51ae"),
            ("config.json", 2_257, "3622a2ddc41ec0e0fd4e68c13c6830f03b90c38d89aaad184de02c8c642cf807"),
            _TOKENIZER,
            _VOCABULARY,
        ),
    ),
    Conversion(
        "whisper-large-v3",
        "Whisper large-v3 (1550 M parameters), 100 languages",
        "Systran/faster-whisper-large-v3",
        "edaa852ec7e145841d8ffdb056a99866b5f0a478",
        (
            ("model.bin", 3_087_284_237, "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1"),
            ("config.json", 2_394, "a9306624f5ec14270a014b647e5c316b6e03a662c369758d1b90697a7b0655b9"),
            _V3_FEATURES,
            ("tokenizer.json", 2_480_617, "6d8cbd7cd0d8d5815e478dac67b85a26bbe77c1f5e0c6d76d1ce2abc0e5f21ca"),
            _V3_VOCABULARY,
        ),
    ),
    Conversion(
        "whisper-large-v3-turbo",
        "Whisper large-v3-turbo (809 M parameters), 100 languages: the usual one on a GPU",
        "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
        "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
        (
            ("model.bin", 1_617_884_929, "e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da"),
            ("config.json", 2_263, "b0253ea6c0d3bea6b1e19e91a02acfd3b53f4467362efcb5a3e6b16c9b3a9b7e"),
            _V3_FEATURES,
            ("tokenizer.json", 2_710_337, "297b13372ac43916285644fb9687add3cc62ee2a1adb60da3dc25cc94c1871fd"),
            _V3_VOCABULARY,
        ),
    ),
)

MODELS = tuple(
    Model(
        name=f"{one.name}-{file.partition('.')[0].replace('_', '-')}",
        summary=f"{one.summary}: {file}",
        licence=MIT,
        sources=(hugging_face(one.repository, one.revision, file),),
        folder=one.name,
        file=file,
        sha256=sha256,
        size=size,
        verified=False,
        needed_by=("transcribe/faster-whisper",),
    )
    for one in CONVERSIONS
    for file, size, sha256 in one.files
)
