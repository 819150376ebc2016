"""A stand-in for a checkout of SadTalker: networks of its names, signatures and shapes, a few thousand numbers each.

Run by the interpreter of the engine, which has torch: `tiny_sadtalker.py stand-in FOLDER` writes the checkout and
its weights; `tiny_sadtalker.py weights FOLDER` writes random weights for the checkout that lies there already.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

SOURCES = {
    "src/audio2exp_models/networks.py": """
import torch
from torch import nn

class SimpleWrapperV2(nn.Module):
    def __init__(self):
        super().__init__()
        self.mapping1 = nn.Linear(80 + 64 + 1, 64)

    def forward(self, x, ref, ratio):
        assert x.shape[1:] == (1, 80, 16) and ref.shape[:2] == (1, len(x)) and ratio.shape == (1, len(x))
        heard = x.mean(dim=(1, 3))
        return self.mapping1(torch.cat([heard, ref[0], ratio[0][:, None]], dim=1))[None]
""",
    "src/audio2pose_models/audio2pose.py": """
import torch
from torch import nn

class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(80, 512)

    def forward(self, audio_sequences):
        assert audio_sequences.shape[2:] == (1, 80, 16)
        return self.fc(audio_sequences.mean(dim=(2, 4)))

class Decoder(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.classbias = nn.Parameter(torch.randn(cfg.DATASET.NUM_CLASSES, cfg.MODEL.CVAE.LATENT_SIZE))
        self.fc = nn.Linear(512 + cfg.MODEL.CVAE.LATENT_SIZE + 6, 6)

    def test(self, batch):
        drawn = batch["z"] + self.classbias[batch["class"]]
        given = torch.cat([drawn, batch["ref"]], dim=1)[:, None].expand(-1, batch["audio_emb"].shape[1], -1)
        batch["pose_motion_pred"] = self.fc(torch.cat([batch["audio_emb"], given], dim=2))
        return batch

class Audio2Pose(nn.Module):
    def __init__(self, cfg, wav2lip_checkpoint, device="cuda"):
        super().__init__()
        self.seq_len, self.latent_dim = cfg.MODEL.CVAE.SEQ_LEN, cfg.MODEL.CVAE.LATENT_SIZE
        self.audio_encoder, self.netG = Encoder(), Decoder(cfg)
""",
    "src/face3d/models/networks.py": """
import torch
from torch import nn
from kornia.geometry import warp_affine

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 257)

    def forward(self, x):
        assert x.shape == (1, 3, 224, 224) and 0 <= x.min() < x.max() <= 1
        return self.fc(x.mean(dim=(2, 3)))

def define_net_recon(net_recon, use_last_fc=False, init_path=None):
    assert net_recon == "resnet50"
    return Net()
""",
    "src/facerender/modules/generator.py": """
import torch
from torch import nn

class OcclusionAwareSPADEGenerator(nn.Module):
    def __init__(self, image_channel, num_kp, estimate_jacobian):
        super().__init__()
        self.colour = nn.Parameter(torch.full((image_channel,), 1.0))

    def forward(self, source_image, kp_driving, kp_source):
        moved = (kp_driving["value"] - kp_source["value"]).mean(dim=1)
        x = torch.round(moved[:, 0].clamp(-0.2, 0.2) * source_image.shape[3] / 2).int().tolist()
        y = torch.round(moved[:, 1].clamp(-0.2, 0.2) * source_image.shape[2] / 2).int().tolist()
        rows = [torch.roll(one, (y[i], x[i]), (1, 2)) for i, one in enumerate(source_image)]
        return {"prediction": torch.stack(rows) * self.colour[:, None, None]}
""",
    "src/facerender/modules/keypoint_detector.py": """
import torch
from torch import nn

class KPDetector(nn.Module):
    def __init__(self, image_channel, num_kp, estimate_jacobian):
        super().__init__()
        self.fc, self.num_kp = nn.Linear(image_channel, 3 * num_kp), num_kp

    def forward(self, x):
        return {"value": torch.tanh(self.fc(x.mean(dim=(2, 3)))).reshape(-1, self.num_kp, 3)}
""",
    "src/facerender/modules/make_animation.py": """
import torch

def keypoint_transformation(kp_canonical, he, wo_exp=False):
    exp = he["exp"].reshape(len(he["exp"]), -1, 3)
    he["t"][:, 2] = he["t"][:, 2] * 0
    return {"value": kp_canonical["value"] + he["t"][:, None] + exp}

def make_animation(source_image, source_semantics, target_semantics, generator, kp_detector, he_estimator, mapping):
    own = kp_detector(source_image)
    at_rest = keypoint_transformation(own, mapping(source_semantics))
    moved = [keypoint_transformation(own, mapping(one)) for one in target_semantics.unbind(1)]
    drawn = [generator(source_image, kp_source=at_rest, kp_driving=one)["prediction"] for one in moved]
    return torch.stack(drawn, dim=1)
""",
    "src/facerender/modules/mapping.py": """
import torch
from torch import nn

class MappingNet(nn.Module):
    def __init__(self, coeff_nc, num_kp):
        super().__init__()
        self.fc_t, self.fc_exp = nn.Linear(coeff_nc, 3), nn.Linear(coeff_nc, 3 * num_kp)

    def forward(self, input_3dmm):
        assert input_3dmm.shape[2] == 27
        middle = input_3dmm.mean(dim=2)
        return {"t": self.fc_t(middle), "exp": self.fc_exp(middle)}
""",
    "src/config/auido2pose.yaml": """
DATASET: {NUM_CLASSES: 46}
MODEL: {CVAE: {SEQ_LEN: 32, LATENT_SIZE: 8}}
""",
    "src/config/facerender.yaml": """
model_params:
  common_params: {num_kp: 15, image_channel: 3, estimate_jacobian: False}
  kp_detector_params: {}
  generator_params: {}
  mapping_params: {coeff_nc: 70, num_kp: 15}
""",
    "src/config/facerender_still.yaml": """
model_params:
  common_params: {num_kp: 15, image_channel: 3, estimate_jacobian: False}
  kp_detector_params: {}
  generator_params: {}
  mapping_params: {coeff_nc: 73, num_kp: 15}
""",
}


def stand_in(folder: Path) -> None:
    """Write the checkout, with a table of 68 standard points."""
    import numpy as np
    from scipy.io import savemat

    for name, text in SOURCES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    points = np.zeros((68, 3))
    points[[36, 39]], points[[42, 45]] = (-0.31, 0.29, 0.13), (0.31, 0.29, 0.13)
    points[30], points[48], points[54] = (0, -0.05, 0.55), (-0.25, -0.38, 0.22), (0.25, -0.38, 0.22)
    savemat(folder / "src" / "config" / "similarity_Lm3D_all.mat", {"lm": points})


def weights(folder: Path) -> None:
    """Write random weights under the names and in the layout of those that were published."""
    import torch
    from safetensors.torch import save_file

    from avatarctl.engines.sadtalker.networks import namespace
    from avatarctl.engines.sadtalker.program import Program
    from avatarctl.engines.sadtalker.spec import CHECKPOINTS, MAPPINGS

    torch.manual_seed(0)
    program = Program(folder / "src")
    shapes: dict[str, Any] = {
        kind: program.config(file)["model_params"]
        for kind, file in {"crop": "facerender.yaml", "full": "facerender_still.yaml"}.items()
    }
    common, module = shapes["full"]["common_params"], program.module
    parts = {
        "face_3drecon": module("face3d.models.networks").define_net_recon("resnet50", False, ""),
        "audio2exp": module("audio2exp_models.networks").SimpleWrapperV2(),
        "audio2pose": module("audio2pose_models.audio2pose").Audio2Pose(
            namespace(program.config("auido2pose.yaml")), None, device="cpu"
        ),
        "generator": module("facerender.modules.generator").OcclusionAwareSPADEGenerator(
            **shapes["full"]["generator_params"], **common
        ),
        "kp_extractor": module("facerender.modules.keypoint_detector").KPDetector(
            **shapes["full"]["kp_detector_params"], **common
        ),
    }
    tensors = {
        f"{part}.{name}": tensor.contiguous()
        for part, network in parts.items()
        for name, tensor in network.state_dict().items()
    }
    out = folder / "checkpoints"
    out.mkdir()
    for file in CHECKPOINTS.values():
        save_file(tensors, out / file)
    mapping = module("facerender.modules.mapping").MappingNet
    for kind, file in MAPPINGS.items():
        state = mapping(**shapes[kind]["mapping_params"]).state_dict()
        torch.save({"mapping": state, "epoch": 1}, out / file)


if __name__ == "__main__":
    if sys.argv[1] == "stand-in":
        stand_in(Path(sys.argv[2]))
    weights(Path(sys.argv[2]))
