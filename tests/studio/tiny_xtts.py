"""An XTTS model of the published layout with random weights: `python tiny_xtts.py FOLDER [published]`.

Run by the interpreter of the engine's environment. The vocoder and the speaker encoder have one size only (92 MB); the
rest is as small as it can be, or with `published` as large as XTTS-v2's: 467 million numbers. What it says are noises,
of about a second, or of as much as the network can say at a time.
"""

from __future__ import annotations

import sys
from pathlib import Path

LETTERS = "абвгдежзийклмнопрстуфхцчшщъыьэюяё" + "abcdefghijklmnopqrstuvwxyz" + ",!?-'’"
SPECIAL = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[ru]", "[en]", "[de]"]


def write(folder: Path, *, audio_tokens: int = 24, published: bool = False) -> None:
    """config.json, model.pth and vocab.json, the same for the same torch.

    Args:
        audio_tokens: the most that it says, of 43 ms each.
        published: every dimension as in XTTS-v2's own config.json.
    """
    from avatarctl.engines.xtts import standin

    standin.install()
    import torch
    from tokenizers import Tokenizer, models
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig
    from TTS.tts.models.xtts import Xtts

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *LETTERS])}
    if published:
        # The network has a row for each token of its vocabulary; these are never met in a text.
        vocabulary |= {f"<{i}>": i for i in range(len(vocabulary), 6681)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="[UNK]"))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "vocab.json"))

    layers, heads, width = (30, 16, 1024) if published else (2, 2, 64)
    config = XttsConfig(
        model_args=XttsArgs(
            gpt_layers=layers,
            gpt_n_heads=heads,
            gpt_n_model_channels=width,
            decoder_input_dim=width,
            gpt_max_audio_tokens=605 if published else audio_tokens,
            gpt_max_text_tokens=402,
            gpt_number_text_tokens=len(vocabulary),
            gpt_start_text_token=vocabulary["[START]"],
            gpt_stop_text_token=vocabulary["[STOP]"],
            gpt_num_audio_tokens=1026,
            gpt_start_audio_token=1024,
            gpt_stop_audio_token=1025,
            gpt_use_perceiver_resampler=True,
        ),
        audio=XttsAudioConfig(sample_rate=22050, output_sample_rate=24000),
    )
    config.save_json(str(folder / "config.json"))
    torch.manual_seed(1)
    model = Xtts(config)
    # The published file holds its settings too, as objects of classes that have moved since: this is where they were.
    moved = {cls: cls.__module__ for cls in (XttsArgs, XttsAudioConfig)}
    for cls in moved:
        cls.__module__ = Xtts.__module__
    torch.save({"config": config, "model": model.state_dict()}, folder / "model.pth")
    for cls, module in moved.items():
        cls.__module__ = module


if __name__ == "__main__":
    write(Path(sys.argv[1]), published="published" in sys.argv[2:])
