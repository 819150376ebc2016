"""A package of torch with the interface of Silero's: `python -m tests.studio.tiny_silero FILE [v4|v5] [WITNESS]`.

WITNESS: a file that the package's code writes when it runs, so that a test can see that it did not.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

import torch

LETTERS = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
SOURCE = f'''
import torch

WITNESS = "@WITNESS@"
if WITNESS:
    open(WITNESS, "w").close()


class Voice:
    """Each letter is a tone; `+` makes the next one loud. Random weights, as small as they can be."""

    symbols = "_~{LETTERS} +.,!?…:;–—-"

    def __init__(self):
        torch.manual_seed(7)
        self.speakers = ["aidar", "baya", "kseniya", "xenia", "eugene"]
        self.pitches = torch.nn.Embedding(len(self.symbols), 1)
        self.device = None

    def to(self, device):
        self.device = device
        self.pitches.to(device)

    def _spoken(self, text, speaker, sample_rate, accents):
        if not text.strip() or len(text) > 560:
            raise ValueError("Model couldn't generate your text, probably it's too long")
        unknown = set(text.lower()) - set(self.symbols)
        if unknown or self.device is None:
            raise ValueError(f"unknown symbols {{sorted(unknown)}}")
        made, loud = [], False
        for letter in text.lower():
            if letter == "+":
                loud = True
                continue
            times = torch.arange(int(0.07 * sample_rate)) / sample_rate
            number = torch.tensor(self.symbols.index(letter))
            pitch = 150 + 40 * self.speakers.index(speaker) + 60 * torch.sigmoid(self.pitches(number))
            level = 0.0 if not letter.isalpha() else 0.6 if loud else 0.2 + 0.1 * accents
            made.append(level * torch.sin(2 * torch.pi * pitch * times) + 0.002 * torch.randn(len(times)))
            loud = False
        return torch.cat(made)


class VoiceOf4(Voice):
    def apply_tts(self, text=None, ssml_text=None, speaker="xenia", sample_rate=48000, put_accent=True, put_yo=True):
        return self._spoken(text, speaker, sample_rate, put_accent)


class VoiceOf5(Voice):
    def apply_tts(self, text=None, ssml_text=None, speaker="xenia", sample_rate=48000, put_accent=True, put_yo=True,
                  put_stress_homo=True, put_yo_homo=True):
        return self._spoken(text, speaker, sample_rate, put_accent and put_stress_homo)
'''


def main(file: Path, version: str = "v5", witness: str = "") -> None:
    """Write the package."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "multi_acc_v3_package.py").write_text(SOURCE.replace("@WITNESS@", ""), encoding="utf-8")
        sys.path.insert(0, folder)
        module = importlib.import_module("multi_acc_v3_package")
        model = module.VoiceOf4() if version == "v4" else module.VoiceOf5()
        with torch.package.PackageExporter(file) as exporter:
            exporter.extern(["torch", "torch.**"])
            exporter.save_source_string("multi_acc_v3_package", SOURCE.replace("@WITNESS@", witness))
            exporter.save_pickle("tts_models", "model", model)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
