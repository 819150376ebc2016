"""A published file of weights to a network that is ready to draw. Nothing in a file is ever executed.

A `.pth` is a pickle, which may name any function to be called when it is read. So it is opened with
`torch.load(weights_only=True)`, which knows tensors and plain containers and refuses all else; spandrel is given
the tensors and never the file. `.safetensors` holds nothing but tensors.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
import types
import zipfile
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from avatarctl.errors import BadConfig, Unavailable

_SCALES = (2, 4)


def read(path: Path) -> Any:
    """The network of a file, on the CPU in 32-bit floats: spandrel's `ImageModelDescriptor`.

    Raises:
        Unavailable: the file is damaged, or holds more than weights.
        BadConfig: the weights are of no network that makes pictures two or four times larger.
    """
    tensors = _tensors(path)
    _stand_in_for_torchvision()
    import spandrel

    try:
        # Neither takes a file. The names of published tensors differ by who trained them.
        network = spandrel.ModelLoader("cpu").load_from_state_dict(spandrel.canonicalize_state_dict(tensors))
    except spandrel.UnsupportedModelError as error:
        raise BadConfig(f"{path.name} is of an unknown architecture", hint="take weights of Real-ESRGAN") from error
    except (RuntimeError, KeyError, ValueError, AssertionError, AttributeError, TypeError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadConfig(f"{path.name} does not fit its architecture", why=why, hint="fetch it again") from error
    able = isinstance(network, spandrel.ImageModelDescriptor) and network.purpose == "SR"
    if not able or network.scale not in _SCALES or (network.input_channels, network.output_channels) != (3, 3):
        raise BadConfig(
            f"{path.name} does not make pictures two or four times larger",
            why=f"{network.architecture.name}, {network.purpose}, x{network.scale}",
            hint="take weights of Real-ESRGAN",
        )
    return network.eval()


def _tensors(path: Path) -> dict[str, Any]:
    """What a file holds, if that is tensors by name, perhaps in a dictionary or two."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    hint = "fetch it again; a file from elsewhere has to be a .pth or .safetensors of weights alone"
    try:
        with path.open("rb") as file:
            # Eight bytes of length, then JSON.
            is_safe = file.read(9)[8:] == b"{"
        found = load_file(path) if is_safe else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Torch's message goes on with advice to switch the guard off, which is not to be followed.
        why = "it holds more than weights, or is damaged; nothing of it was executed"
        raise Unavailable(f"{path.name} is refused", why=why, hint=hint) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile, SafetensorError) as error:
        said = str(error).partition("\n")[0]
        why = said[:200] if " " in said else "it is damaged, or holds something else than weights"
        raise Unavailable(f"{path.name} cannot be read", why=why, hint=hint) from error
    if not isinstance(found, dict) or not found:
        raise Unavailable(f"{path.name} holds no weights", why=type(found).__name__, hint=hint)
    return found


def _stand_in_for_torchvision() -> None:
    """Give spandrel the names of torchvision that it imports for LaMa and RestoreFormer, where there is none.

    torchvision's wheel is built against one build of torch and breaks beside another; neither architecture is used.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        return

    def missing(*_: object, **__: object) -> Any:
        raise RuntimeError("torchvision is not here")

    functional = types.ModuleType("torchvision.transforms.functional")
    modes = Enum("modes", ("NEAREST", "BILINEAR"))
    vars(functional).update(InterpolationMode=modes, rotate=missing, normalize=missing)
    transforms = types.ModuleType("torchvision.transforms")
    vars(transforms)["functional"] = functional
    torchvision = types.ModuleType("torchvision")
    vars(torchvision)["transforms"] = transforms
    for module in (torchvision, transforms, functional):
        sys.modules[module.__name__] = module
