"""Sounds, clips and films for the tests of what works with them, made by numpy and ffmpeg."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.media import audio, ffmpeg, wav
from avatarctl.media.video import Encoder


def call_ffmpeg(*arguments: object) -> None:
    """Make a file with ffmpeg as a user would."""
    command = [ffmpeg.binary(), "-nostdin", "-v", "error", "-y", *(str(a) for a in arguments)]
    subprocess.run(command, check=True, capture_output=True)


def read_wav(path: Path) -> tuple[NDArray[np.float32], int]:
    """A 16-bit WAV as float32 mono in [-1, 1], shape (samples,), and its rate in hertz."""
    with wav.reader(path) as stream:
        raw = np.frombuffer(stream.readframes(stream.getnframes()), "<i2")
        samples = raw.reshape(-1, stream.getnchannels()).astype(np.float32).mean(axis=1) / np.float32(32768)
        return samples.astype(np.float32), stream.getframerate()


def read_pcm(path: Path) -> NDArray[np.int16]:
    """A mono 16-bit WAV exactly as it is, int16 (samples,)."""
    with wav.reader(path) as stream:
        assert stream.getnchannels() == 1
        return np.frombuffer(stream.readframes(stream.getnframes()), "<i2").astype(np.int16)


STEREO = ("-af", "pan=stereo|c0=c0|c1=c0")
"""Options of ffmpeg that put a mono sound on two channels as it is; `-ac 2` would make it quieter."""


def tone(seconds: float, rate: int, hertz: float = 440.0, level: float = 0.5) -> NDArray[np.float32]:
    """float32 (samples,), a sine."""
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def voice(
    seconds: float, rate: int, f0: float, noise: float = 0.0, pause: float = 0.0, first_harmonic: int = 1
) -> NDArray[np.float32]:
    """float32 (samples,): harmonics that fall off like a voice's, in syllables, with silence at both ends."""
    time = np.arange(round(seconds * rate)) / rate
    harmonics = range(first_harmonic, int(min(5000, rate / 2.2) / f0) + 1)
    sound = sum((np.sin(2 * np.pi * k * f0 * time) / k for k in harmonics), np.zeros_like(time))
    sound *= 0.5 / np.abs(sound).max() * np.clip(np.sin(2 * np.pi * 1.5 * time) + 0.6, 0, 1)
    silence = np.zeros(round(pause * rate))
    whole = np.concatenate([silence, sound, silence])
    return (whole + noise * np.random.default_rng(1).standard_normal(whole.size)).astype(np.float32)


def grey(height: int, width: int, level: int) -> NDArray[np.uint8]:
    """An I420 frame of one grey."""
    frame = np.full((height * 3 // 2, width), 128, np.uint8)
    frame[:height] = level
    return frame


def clip(path: Path, frames: int, fps: int = 25, width: int = 64, height: int = 64, first: int = 0) -> Path:
    """A clip whose frame i has luma 30 + 3 * ((first + i) % 60)."""
    with Encoder(path, width, height, fps) as encoder:
        for i in range(first, first + frames):
            encoder.write(grey(height, width, 30 + 3 * (i % 60)))
    return path


def lumas(path: Path) -> list[float]:
    """Mean luma of every decoded frame, as the decoder gives it."""
    command = [ffmpeg.binary(), "-nostdin", "-v", "error", "-i", f"file:{path}"]
    command += ["-vf", "scale=16:16:flags=area,format=yuv420p", "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return [float(frame[:16].mean()) for frame in np.frombuffer(raw, np.uint8).reshape(-1, 24, 16)]


def frame_times(path: Path) -> list[float]:
    """When each packet of the first picture track is shown, seconds."""
    from avatarctl.media import probe

    source = ffmpeg.source(path, ffmpeg.FILM_FORMATS)["v:0"]
    listing, _ = ffmpeg.run(ffmpeg.to_pipe(source, format="framecrc", c="copy"), what="listing")
    track = next(iter(probe.tracks(listing).values()))
    return [float(time * track.time_base) for time in track.times]


def bursts(path: Path, threshold: float = 0.3) -> list[float]:
    """When the sound of a file rises from at least 50 ms of quiet, seconds."""
    samples, rate = audio.decode(path, 48_000)
    loud = np.flatnonzero(np.abs(samples) > threshold)
    new = np.diff(loud, prepend=-rate) > 0.05 * rate
    return [float(i) / rate for i in loud[new]]


def playlists(secret: Path) -> dict[str, str]:
    """Texts that make an unguarded ffmpeg open `secret`."""
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{secret}\n#EXT-X-ENDLIST\n",
        "hls by url": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT3S" profiles="urn:mpeg:dash:profile:full:2011"><Period><AdaptationSet '
            'mimeType="audio/mp4"><Representation id="1" bandwidth="1"><BaseURL>'
            f"file://{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        ),
        "image sequence": f"{secret.parent}/%03d.png\n",
        "subtitles": "1\n00:00:00,000 --> 00:00:01,000\nhello\n",
    }


def rgb_to_i420(colour: Sequence[int], side: int) -> NDArray[np.uint8]:
    """A frame of one colour, converted as renderers do it."""
    picture = np.zeros((side, side, 3), np.uint8)
    picture[:] = colour
    return cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).astype(np.uint8)


def energy(rgb: NDArray[np.uint8]) -> float:
    """How much fine detail there is in a picture."""
    return float(cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_32F).std())


def interpolated(rgb: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """The picture made larger by Lanczos."""
    size = rgb.shape[1] * scale, rgb.shape[0] * scale
    return cv2.resize(rgb, size, interpolation=cv2.INTER_LANCZOS4).astype(np.uint8)
