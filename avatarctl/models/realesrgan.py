"""Weights of Real-ESRGAN as its authors publish them, for torch.

Sizes and digests are those that several independent projects pin for the files of these releases.
"""

from __future__ import annotations

from avatarctl.models.entry import BSD_3, HttpsSource, Model

_RELEASES = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_FILES = (
    (
        "realesrgan-x4plus",
        "Real-ESRGAN x4plus for torch: best for photos and faces, four times larger",
        "v0.1.0/RealESRGAN_x4plus.pth",
        67_040_989,
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
    ),
    (
        "realesrgan-x2plus",
        "Real-ESRGAN x2plus for torch: photos, twice as large in a quarter of the time",
        "v0.2.1/RealESRGAN_x2plus.pth",
        67_061_725,
        "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
    ),
    (
        "realesr-general-x4v3",
        "Real-ESRGAN general x4v3 for torch: small and fast, for films",
        "v0.2.5.0/realesr-general-x4v3.pth",
        4_885_111,
        "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
    ),
)

MODELS = tuple(
    Model(
        name=name,
        summary=summary,
        licence=BSD_3,
        sources=(HttpsSource(url=f"{_RELEASES}/{path}"),),
        file=path.partition("/")[2],
        sha256=sha256,
        size=size,
        verified=False,
        needed_by=("upscale/realesrgan-torch",),
    )
    for name, summary, path, size, sha256 in _FILES
)
