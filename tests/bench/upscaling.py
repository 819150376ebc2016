"""Real-ESRGAN under ncnn, against the package `ncnn` used the plain way on the same film; and a restored portrait.

Run by itself it is the plain way: read a film, draw each picture whole, write a film.

    python upscaling.py FILM OUT GRAPH WEIGHTS
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from studio import Studio


def rows(studio: Studio) -> list[tuple[str, str, str]]:
    """What, measured, target: seconds of processor time, which hardly depend on what else the machine does."""
    speech = ("Да.", "--set", "animate.size=256", "--set", "rig.detailed=off")
    film = studio.work / "small.mp4"
    studio.run("render", *speech, "--out", str(film))
    alone = studio.run("upscale", str(film), "--engine", "lanczos", "--refresh", memory=True)
    made = studio.run("upscale", str(film), "--engine", "realesrgan", "--refresh", "--json", memory=True)
    frames = json.loads(made.out)["facts"]["frames"]
    files = [next((studio.models / f"realesrgan-video{part}").glob("realesr*")) for part in ("-graph", "")]
    command = [sys.executable, __file__, str(film), str(studio.work / "plain.mp4"), *map(str, files)]
    plain = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    facts = json.loads(made.out)["facts"]
    photo = studio.models / "portrait-hopper" / "grace_hopper.jpg"
    part = "upscale.part=13,45,512,512"
    portrait = studio.run(
        "upscale", str(photo), "--engine", "realesrgan", "--set", part, "--out", "p.png", "--refresh", memory=True
    )
    return [
        (
            f"Real-ESRGAN on a film of 256 x 256, {frames} pictures (ncnn)",
            f"{frames / made.cpu:.2f} pictures a second of one core; the plain package {frames / plain:.2f}; "
            f"{made.own_memory:.0f} MB",
            "as the plain package",
        ),
        (
            "the same by Lanczos",
            f"{frames / alone.cpu:.1f} pictures a second of one core",
            "-",
        ),
        (
            "flicker of that film where it is still",
            f"{facts['flicker']:.2f} levels, {facts['flicker_given']:.2f} before",
            "at most 1 more",
        ),
        (
            "a face in 512 x 512 pixels restored",
            f"{portrait.wall:.1f} s ({portrait.cpu:.1f} s of processor time), {portrait.own_memory:.0f} MB",
            "20 s, 2000 MB",
        ),
    ]


def plain_way(film: Path, out: Path, graph: Path, weights: Path) -> float:
    """Processor seconds of this process and of its ffmpeg."""
    os.environ["OMP_WAIT_POLICY"] = "passive"
    import ncnn
    import numpy as np

    net = ncnn.Net()
    net.opt.num_threads = 2
    net.opt.use_vulkan_compute = False
    net.load_param(str(graph))
    net.load_model(str(weights))

    def enlarge(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = picture.shape[:2]
        extractor = net.create_extractor()
        given = ncnn.Mat.from_pixels(picture, ncnn.Mat.PixelType.PIXEL_BGR2RGB, width, height)
        given.substract_mean_normalize([], [1 / 255] * 3)
        extractor.input("data", given)
        _, drawn = extractor.extract("output")
        larger: NDArray[np.uint8] = np.clip(np.array(drawn) * 255 + 0.5, 0, 255).astype(np.uint8)
        return larger.transpose(1, 2, 0)[..., ::-1]

    film_through(enlarge, film, out, 2)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def film_through(enlarge: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], film: Path, out: Path, scale: int) -> int:
    """Read a film, enlarge each picture whole (BGR uint8), write a film. How many there were."""
    import cv2
    import numpy as np

    from avatarctl.media import ffmpeg

    reader = cv2.VideoCapture(str(film))
    width, height = (int(reader.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    size = f"{scale * width}x{scale * height}"
    encoder = subprocess.Popen(
        [ffmpeg.binary(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", "25", "-i", "-",
         "-i", str(film), "-map", "0:v", "-map", "1:a?", "-c:a", "copy", "-c:v", "libx264", "-preset", "veryfast",
         "-crf", "18", "-threads:v", "2", "-pix_fmt", "yuv420p", str(out)],
        stdin=subprocess.PIPE,
    )  # fmt: skip
    assert encoder.stdin is not None
    count = 0
    while True:
        there, picture = reader.read()
        if not there:
            break
        encoder.stdin.write(np.ascontiguousarray(enlarge(picture)).tobytes())
        count += 1
    encoder.stdin.close()
    encoder.wait()
    return count


if __name__ == "__main__":
    print(plain_way(*map(Path, sys.argv[1:])))
