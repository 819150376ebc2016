"""A voice of Piper's own form, small and made of nothing: the inputs, outputs and draws of chance of the published
networks, a table of lengths in place of the text encoder, and a tone with noise in place of the decoder."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from avatarctl.engines.piper.onnxfile import message, node, text, varint

FLOAT, INT64 = 1, 7
SYMBOLS = "_^$ !'(),-.:;?abcdefhijklmnopqrstuvwxyzɐɑɒɔəɛɜɡɨɪɭɬɲɵɹɾʂʃʊʌʐʑʒʲˈˌːɕæŋθð̃"
RATE, HOP = 22_050, 256
FRAMES = 3
"""Of each phoneme id, where no noise is in them."""


def settings(language: str = "ru", *, speakers: int = 1, kind: str = "espeak") -> dict[str, object]:
    """What lies beside a voice, with the keys that Piper writes."""
    return {
        "audio": {"sample_rate": RATE, "quality": "medium"},
        "espeak": {"voice": {"ru": "ru", "en": "en-us"}.get(language, language)},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": kind,
        "phoneme_map": {},
        "phoneme_id_map": {symbol: [number] for number, symbol in enumerate(SYMBOLS)},
        "num_symbols": len(SYMBOLS),
        "num_speakers": speakers,
        "speaker_id_map": {f"p{n}": n for n in range(speakers)} if speakers > 1 else {},
        "language": {"code": {"ru": "ru_RU", "en": "en_US"}.get(language, language)},
        "piper_version": "1.0.0",
    }


def network(*, speakers: int = 1, lengths: bool = True, chance: str = "RandomNormalLike") -> bytes:
    """An ONNX model. `lengths`: frames are whole by Ceil, as in VITS, else by Round, where nothing finds them."""
    dtype = message(5, text(1, "dtype") + varint(3 << 3) + varint(FLOAT) + varint(20 << 3) + varint(2))
    whole = "Ceil" if lengths else "Round"
    nodes = [
        # Lengths: of each id by a table, with noise, stretched, in whole frames.
        node("Gather", ["table", "input"], "base"),
        node("Shape", ["base"], "ids"),
        node("ConstantOfShape", ["ids"], "blank"),
        node(chance, ["blank"], "dp.noise", dtype),
        node("Gather", ["scales", "two"], "rhythm"),
        node("Mul", ["dp.noise", "rhythm"], "dp.scaled"),
        node("Add", ["base", "dp.scaled"], "uneven"),
        node("Gather", ["scales", "one"], "stretch"),
        node("Mul", ["uneven", "stretch"], "long"),
        node("Abs", ["long"], "positive"),
        node(whole, ["positive"], "w_ceil"),
        # Sound: a tone of the speaker's pitch with noise, as long as all of them.
        node("ReduceSum", ["w_ceil"], "frames"),
        node("Mul", ["frames", "hop"], "count"),
        node("Reshape", ["count", "none"], "length"),
        node("Range", ["f0", "length", "f1"], "time"),
        node("Gather", ["pitches", "sid" if speakers > 1 else "zero"], "pitch"),
        node("Mul", ["time", "pitch"], "phase"),
        node("Sin", ["phase"], "tone"),
        node("RandomNormalLike", ["tone"], "z.noise", dtype),
        node("Gather", ["scales", "zero"], "rough"),
        node("Mul", ["z.noise", "rough"], "z.scaled"),
        node("Mul", ["z.scaled", "little"], "hiss"),
        node("Mul", ["tone", "half"], "voice"),
        node("Add", ["voice", "hiss"], "flat"),
        node("Reshape", ["flat", "form"], "output"),
    ]
    table = np.full(len(SYMBOLS), FRAMES, np.float32) - 0.05
    tensors = [
        _tensor("table", table, [len(SYMBOLS)]),
        _tensor("pitches", np.linspace(0.04, 0.08, max(speakers, 2), dtype=np.float32), [max(speakers, 2)]),
        *(_tensor(name, np.array([n]), []) for name, n in (("zero", 0), ("one", 1), ("two", 2))),
        *(
            _tensor(name, np.array([n], np.float32), [])
            for name, n in (("hop", HOP), ("f0", 0), ("f1", 1), ("little", 0.05), ("half", 0.5))
        ),
        _tensor("none", np.zeros(0, np.int64), [0]),
        _tensor("form", np.array([1, 1, 1, -1]), [4]),
    ]
    inputs = [_value("input", INT64, 2), _value("input_lengths", INT64, 1), _value("scales", FLOAT, 1)]
    inputs += [_value("sid", INT64, 1)] if speakers > 1 else []
    graph = [*nodes, text(2, "main_graph"), *(message(5, tensor) for tensor in tensors)]
    graph += [*(message(11, one) for one in inputs), message(12, _value("output", FLOAT, 4))]
    opset = message(8, text(1, "") + varint(2 << 3) + varint(15))
    return varint(1 << 3) + varint(8) + text(2, "pytorch") + message(7, b"".join(graph)) + opset


def write(folder: Path, name: str = "voice", **options: object) -> Path:
    """`name`.onnx and `name`.onnx.json: the first of them."""
    folder.mkdir(parents=True, exist_ok=True)
    language = str(options.pop("language", "ru"))
    kind = str(options.pop("kind", "espeak"))
    made = folder / f"{name}.onnx"
    made.write_bytes(network(**options))  # type: ignore[arg-type]
    document = settings(language, speakers=int(options.get("speakers", 1)), kind=kind)  # type: ignore[call-overload]
    Path(f"{made}.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return made


def _tensor(name: str, values: np.ndarray, shape: list[int]) -> bytes:
    integers = values.dtype.kind == "i"
    data = values.astype("<i8" if integers else "<f4").tobytes()
    dims = b"".join(varint(1 << 3) + varint(n) for n in shape)
    return dims + varint(2 << 3) + varint(INT64 if integers else FLOAT) + text(8, name) + message(9, data)


def _value(name: str, kind: int, rank: int) -> bytes:
    shape = b"".join(message(1, text(2, f"{name}.{n}")) for n in range(rank))
    tensor = varint(1 << 3) + varint(kind) + message(2, shape)
    return text(1, name) + message(2, message(1, tensor))


def broken() -> bytes:
    """A graph with a number that is none of ONNX's."""
    return message(7, struct.pack("<I", 0xFFFFFFFF))
