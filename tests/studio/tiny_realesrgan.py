"""Makes files of weights with the layout of those that Real-ESRGAN's authors publish. Run by a Python that has torch.

    python tiny_realesrgan.py FOLDER [published]

Each network does little more than repeat pixels, with a little noise in every weight: so what it draws can be told
from what was given, and a wrong layout from a right one. With `published` there is one file alone, RealESRGAN_x4plus
in its own size: 16.7 million numbers.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

FEATURES = 16
GROWTH = 32  # spandrel knows no other


def passing(out: int, given: int, noise: float = 0.0) -> Tensor:
    """Weights of a 3 x 3 convolution that hands the first three maps on."""
    weight = torch.randn(out, given, 3, 3) * noise
    for channel in range(3):
        weight[channel, channel, 1, 1] += 1
    return weight


def convolution(name: str, weight: Tensor) -> dict[str, Tensor]:
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(weight.shape[0])}


def folded(kernel: dict[int, float]) -> Tensor:
    """A 3 x 3 convolution among the twelve maps into which RGB is folded, which does to the picture unfolded what the
    kernel (weight by distance in pixels, along either axis) would do."""
    weight = torch.zeros(FEATURES, 12, 3, 3)
    for out, given, y, x in product(range(4), range(4), range(3), range(3)):
        down, across = (2 * (tap - 1) + given_bit - out_bit for tap, given_bit, out_bit in
                        ((y, given // 2, out // 2), (x, given % 2, out % 2)))  # fmt: skip
        for colour in range(3):
            weight[4 * colour + out, 4 * colour + given, y, x] = kernel.get(down, 0) * kernel.get(across, 0)
    return weight


def unfolding() -> Tensor:
    """Of maps that were folded and then repeated, a 3 x 3 convolution makes the picture, blurred by 1/4, 1/2, 1/4: the
    pixels around each are at hand, but not whether it is an even or an odd one."""
    weight = torch.zeros(FEATURES, FEATURES, 3, 3)
    halves = (0, 0.25, 0.25), (0.25, 0.25, 0)
    for place, y, x in product(range(4), range(3), range(3)):
        for colour in range(3):
            weight[colour, 4 * colour + place, y, x] = halves[place // 2][y] * halves[place % 2][x]
    return weight


def rrdb(scale: int, blocks: int = 1, features: int = FEATURES) -> dict[str, Tensor]:
    """As RealESRGAN_x4plus.pth (23 blocks, 64 features) and, with its pixels folded, RealESRGAN_x2plus.pth."""
    # What unfolding will blur is sharpened first.
    first = folded({-1: -0.4, 0: 1.8, 1: -0.4}) if scale == 2 else passing(features, 3)
    made = convolution("conv_first", first)
    for block in range(blocks):
        for part in (1, 2, 3):
            for layer in range(1, 6):
                out = GROWTH if layer < 5 else features
                noise = torch.randn(out, features + GROWTH * (layer - 1), 3, 3) * 1e-3
                made |= convolution(f"body.{block}.rdb{part}.conv{layer}", noise)
    made |= convolution("conv_body", torch.randn(features, features, 3, 3) * 1e-3)
    for name in ("conv_up1", "conv_up2", "conv_hr"):
        made |= convolution(name, passing(features, features))
    if scale == 2:
        made |= convolution("conv_up1", unfolding())
    return made | convolution("conv_last", passing(3, features)[:3])


def compact(layers: int = 2) -> dict[str, Tensor]:
    """As realesr-general-x4v3.pth: what is drawn is added to repeated pixels."""
    made: dict[str, Tensor] = {}
    for number in range(layers + 2):
        out = 48 if number == layers + 1 else FEATURES
        made |= convolution(f"body.{2 * number}", torch.randn(out, 3 if number == 0 else FEATURES, 3, 3) * 0.02)
        if number <= layers:
            made[f"body.{2 * number + 1}.weight"] = torch.full((FEATURES,), 0.1)
    return made


class Trap:
    """What is called when a pickle that holds one is read by the ordinary way."""

    def __init__(self, told: Path) -> None:
        self.told = told

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.told,)


def main(folder: Path) -> None:
    torch.manual_seed(1)
    torch.save({"params_ema": rrdb(4)}, folder / "x4plus.pth")
    torch.save({"params_ema": rrdb(2)}, folder / "x2plus.pth")
    small = compact()
    torch.save({"params": small}, folder / "general.pth")
    torch.save({"some.weight": torch.zeros(3)}, folder / "unknown.pth")
    torch.save([1, 2], folder / "list.pth")
    broken = rrdb(4)
    broken["conv_hr.weight"] = torch.zeros(5, 5, 3, 3)
    torch.save(broken, folder / "misshapen.pth")
    torch.save({"params": compact(), "trap": Trap(folder / "executed")}, folder / "trap.pth")
    torch.save({"params": compact(), "trap": Trap(folder / "executed")}, folder / "old-trap.pth",
               _use_new_zipfile_serialization=False)  # fmt: skip
    whole = (folder / "x4plus.pth").read_bytes()
    (folder / "truncated.pth").write_bytes(whole[: len(whole) // 2])
    from safetensors.torch import save_file

    save_file(small, folder / "general.safetensors")
    whole = (folder / "general.safetensors").read_bytes()
    (folder / "truncated.safetensors").write_bytes(whole[: len(whole) // 2])


def published(folder: Path) -> None:
    """RealESRGAN_x4plus in its own size."""
    torch.manual_seed(1)
    torch.save({"params_ema": rrdb(4, blocks=23, features=64)}, folder / "x4plus.pth")


if __name__ == "__main__":
    (published if "published" in sys.argv[2:] else main)(Path(sys.argv[1]))
