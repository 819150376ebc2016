"""A Whisper model of a megabyte that always hears the same sentence, written by CTranslate2's own specification.

The encoder says nothing of the sound but how late it is. The decoder's residual stream holds one dimension for
each token, and the projection leads from each token to the next; its attention looks at the middle of the word
that comes next, so timings of words are those that were asked for.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from ctranslate2.specs.whisper_spec import WhisperSpec
from numpy.typing import NDArray
from tokenizers import decoders, pre_tokenizers

WIDTH = 64
FRAMES = 1500
"""Of the encoder in its 30 seconds."""
HZ = 50.0
SPECIAL = ("<unk>", "", "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|ru|>", "<|translate|>", "<|transcribe|>",
           "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")  # fmt: skip


def write(
    folder: Path,
    text: str,
    starts: tuple[float, ...],
    end: float,
    *,
    english_only: bool = False,
    certainty: float = 2.5,
) -> Path:
    """A model that says the words of `text`, each from its start, and the last one until `end`; in seconds.

    `certainty`: how much likelier the next word is than any other; with 0.35 the decoder gives up and draws lots.
    """
    words = [_token(" " + word) for word in text.split()]
    assert len(set(words)) == len(words) == len(starts)
    special = [token for token in SPECIAL if token or not english_only]
    stamps = [f"<|{i * 0.02:.2f}|>" for i in range(FRAMES + 1)]
    vocabulary = [*words, *special, *stamps]
    number = {token: i for i, token in enumerate(vocabulary)}
    first = "<|startoftranscript|>" if english_only else "<|transcribe|>"
    path = [first, "<|0.00|>", *words, f"<|{end:.2f}|>", "<|endoftext|>"]
    chain = [*pairwise(path), ("<|notimestamps|>", words[0])]
    if not english_only:
        chain.append(("<|startoftranscript|>", "<|en|>"))
    # A word begins where attention is half-way between its middle and the one before.
    middles = [(a + b) / 2 for a, b in pairwise([*starts, end])]
    looks = dict(zip(["<|notimestamps|>", *words], [*middles, end + 0.2], strict=True))

    dimension = {token: i for i, token in enumerate(dict.fromkeys(token for pair in chain for token in pair))}
    assert len(dimension) <= WIDTH
    embeddings = np.zeros((len(vocabulary), WIDTH), np.float32)
    projection = np.zeros((len(vocabulary), WIDTH), np.float32)
    queries = np.zeros((WIDTH, WIDTH), np.float32)
    for token, i in dimension.items():
        embeddings[number[token], i] = 8
    for token, following in chain:
        projection[number[following], dimension[token]] = certainty
    for token, seconds in looks.items():
        queries[:, dimension[token]] = 300 * _clock(seconds * HZ)

    spec = WhisperSpec(1, 1, 1, 1)
    encoder, decoder = spec.encoder, spec.decoder
    _conv(encoder.conv1, 80)
    _conv(encoder.conv2, WIDTH)
    encoder.position_encodings.encodings = np.stack([_clock(t) for t in range(FRAMES)])
    _layer(encoder.layer[0])
    _norm(encoder.layer_norm)
    decoder.embeddings.weight = embeddings
    decoder.position_encodings.encodings = np.zeros((448, WIDTH), np.float32)
    _layer(decoder.layer[0])
    _attention(decoder.layer[0].attention, cross=True)
    decoder.layer[0].attention.linear[0].weight = queries
    decoder.layer[0].attention.linear[1].weight[:WIDTH] = np.eye(WIDTH, dtype=np.float32)
    _norm(decoder.layer_norm)
    decoder.projection.weight = projection

    spec.register_vocabulary(vocabulary)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [number["<|en|>"], number["<|ru|>"]]
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    spec.optimize()
    folder.mkdir(parents=True)
    spec.save(str(folder))
    _tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    return folder


def _token(word: str) -> str:
    """Its bytes in UTF-8, each with a letter to stand for it."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return level.pre_tokenize_str(word)[0][0]


def _tokenizer(vocabulary: list[str]) -> tokenizers.Tokenizer:
    known = {token: i for i, token in enumerate(vocabulary)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    return made


def _clock(frame: float) -> NDArray[np.float32]:
    """Two hands, one round in 60 s and in 7.5 s, and their opposites, so that a layer norm changes nothing."""
    angle = np.pi * frame / FRAMES
    hand = np.array([np.cos(angle), np.sin(angle), np.cos(8 * angle), np.sin(8 * angle)])
    return np.concatenate([hand, -hand, np.zeros(WIDTH - 8)]).astype(np.float32)


def _norm(spec: Any) -> None:
    spec.gamma, spec.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)


def _linear(spec: Any, outputs: int, inputs: int) -> None:
    spec.weight, spec.bias = np.zeros((outputs, inputs), np.float32), np.zeros(outputs, np.float32)


def _conv(spec: Any, inputs: int) -> None:
    spec.weight, spec.bias = np.zeros((WIDTH, inputs, 3), np.float32), np.zeros(WIDTH, np.float32)


def _attention(spec: Any, *, cross: bool) -> None:
    _norm(spec.layer_norm)
    sizes = (WIDTH, 2 * WIDTH, WIDTH) if cross else (3 * WIDTH, WIDTH)
    for linear, size in zip(spec.linear, sizes, strict=True):
        _linear(linear, size, WIDTH)


def _layer(spec: Any) -> None:
    _attention(spec.self_attention, cross=False)
    _norm(spec.ffn.layer_norm)
    _linear(spec.ffn.linear_0, WIDTH, WIDTH)
    _linear(spec.ffn.linear_1, WIDTH, WIDTH)
