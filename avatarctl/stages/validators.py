"""What every output has to be before it is published, whoever made it.

A validator opens what was made, measures it, and returns the figures as facts. Heavy imports stay inside,
since a cached step needs no validator.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatarctl.errors import StepFailed
from avatarctl.stages.contract import Facts

Files = Mapping[str, Path]


def _report(path: Path, what: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StepFailed(f"the {what} is not JSON", why=str(error)) from error
    if not isinstance(document, dict):
        raise StepFailed(f"the {what} is not a JSON object")
    return document


def nonempty(outputs: Files, inputs: Files, params: Any) -> Facts:
    """Every output has bytes in it."""
    sizes = {role: path.stat().st_size for role, path in outputs.items()}
    for role, size in sizes.items():
        if size == 0:
            raise StepFailed(f"the {role} is empty")
    return {}


def rig(outputs: Files, inputs: Files, params: Any) -> Facts:
    """Something, and perhaps a report on it, with warnings."""
    nonempty(outputs, inputs, params)
    if "report" not in outputs:
        return {}
    report = _report(outputs["report"], "report on the rig")
    return {"scene": report.get("scene", {}), "warnings": report.get("warnings", [])}


def transcript(outputs: Files, inputs: Files, params: Any) -> Facts:
    """UTF-8 text with something in it; words in order, none of which ends before it starts or after the recording."""
    from avatarctl.media import wav

    said = _text(outputs["text"])
    report = _report(outputs["words"], "list of words")
    if report.get("schema") != "transcript/1":
        raise StepFailed("the list of words is of another schema", why=str(report.get("schema")))
    duration = wav.info(inputs["audio"]).duration
    words = [word for segment in report["segments"] for word in segment["words"]]
    for word in words:
        if not 0 <= word["start"] <= word["end"] <= duration + 1e-3:
            raise StepFailed("a word lies outside the recording", why=f"{word['text']!r} at {word['start']:.3f} s")
    return {"characters": len(said.strip()), "words": len(words), "language": report["language"]}


def answer(outputs: Files, inputs: Files, params: Any) -> Facts:
    """UTF-8 text with something in it, and a JSON object that says whether an answer was found."""
    sources = _report(outputs["sources"], "list of sources")
    return {"characters": len(_text(outputs["answer"])), "found": bool(sources.get("found"))}


def _text(path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StepFailed("the text is not UTF-8", why=str(error)) from error
    if not content.strip():
        raise StepFailed("the text is empty")
    return content


def portrait(outputs: Files, inputs: Files, params: Any) -> Facts:
    """A PNG of sensible size, a report with the face's box, and a preview."""
    from avatarctl.media import image

    report = _report(outputs["report"], "report on the photo")
    width, height = image.png_size(outputs["portrait"])
    image.png_size(outputs["preview"])
    return {"width": width, "height": height, "warnings": report.get("warnings", [])}


def voiceprint(outputs: Files, inputs: Files, params: Any) -> Facts:
    """A readable WAV and a report with its duration."""
    from avatarctl.media import wav

    info = wav.info(outputs["voice"])
    report = _report(outputs["report"], "report on the voice")
    return {"duration": info.duration, "f0": report.get("f0"), "warnings": report.get("warnings", [])}


def speech(outputs: Files, inputs: Files, params: Any) -> Facts:
    """A WAV that holds sound; timings, where given, that lie within it, in order.

    `confidence` has a number from 0 to 1 for each sentence of a text that was looked for in a recording, and `doubtful`
    those sentences that were hardly found; `by_sound` the seconds of what the text has not, where the sound alone was
    followed.
    """
    from avatarctl.media import wav
    from avatarctl.text.timings import Timings

    info = wav.info(outputs["speech"])
    if info.frames == 0:
        raise StepFailed("the speech is empty")
    facts: Facts = {"duration": round(info.duration, 4), "sample_rate": info.sample_rate}
    if "timings" in outputs:
        try:
            timings = Timings.read(outputs["timings"])
        except ValueError as error:
            raise StepFailed("the timings cannot be read", why=str(error)) from error
        if abs(timings.duration - info.duration) > 0.02:
            raise StepFailed(
                "the timings do not fit the speech", why=f"{timings.duration:.3f} s against {info.duration:.3f} s"
            )
        last = 0.0
        for phoneme in timings.phonemes:
            if phoneme.start < last - 1e-3 or phoneme.end < phoneme.start or phoneme.end > info.duration + 0.02:
                raise StepFailed("the timings are out of order", why=f"{phoneme.ipa!r} at {phoneme.start:.3f} s")
            last = phoneme.end
        if "confidence" in timings.extra:
            facts["confidence"] = timings.extra["confidence"]
            facts["doubtful"] = [{"start": round(span.start, 2), "text": span.text} for span in timings.doubtful]
            facts["by_sound"] = timings.extra.get("by_sound", [])
    if "report" in outputs:
        # How often a voice that is left to chance tried, and how much of it a recogniser understood.
        report = _report(outputs["report"], "report on the speech")
        facts |= {name: report[name] for name in ("tries", "character_error_rate") if report.get(name) is not None}
    return facts


def clip(outputs: Files, inputs: Files, params: Any) -> Facts:
    """A video that decodes fully, of the wanted size and rate, as long as the speech (rounded up to a frame)."""
    import math

    from avatarctl.media import probe, wav

    video = probe.decode_all(outputs["clip"]).video
    if video is None:
        raise StepFailed("the clip has no picture")
    wanted = math.ceil(wav.info(inputs["speech"]).duration * params.fps - 1e-6)
    if video.frames != wanted:
        raise StepFailed("the clip has the wrong length", why=f"{video.frames} frames, not {wanted}")
    if not video.constant_step or video.fps != params.fps:
        raise StepFailed("the clip's frames are not evenly spaced", why=f"{video.fps:.3f} frames a second")
    return {"frames": video.frames, "width": video.width, "height": video.height, "fps": video.fps}


def upscaled(outputs: Files, inputs: Files, params: Any) -> Facts:
    """One picture or one film; a film has as many frames as before, and flickers no more than it may where it is
    still."""
    from avatarctl.media import flicker, image, probe

    if ("video" in outputs) == ("image" in outputs):
        raise StepFailed("an upscaler has to make one picture or one film")
    if "image" in outputs:
        width, height = image.png_size(outputs["image"])
        return {"width": width, "height": height}
    made = probe.decode_all(outputs["video"])
    given = probe.decode_all(inputs["media"], strict=False)
    if made.video is None or given.video is None or made.video.frames != given.video.frames:
        raise StepFailed("upscaling changed the number of frames")
    if (made.audio is None) != (given.audio is None):
        raise StepFailed("upscaling lost the sound")
    width, height = made.video.width, made.video.height
    facts: Facts = {"frames": made.video.frames, "width": width, "height": height}
    seen = flicker.measure(inputs["media"], outputs["video"], width, height)
    if seen is not None:
        if params.max_flicker is not None and seen.made - seen.given > params.max_flicker:
            raise StepFailed(
                "the film flickers more than it may where nothing moves",
                why=f"{seen.made:.2f} levels, {seen.given:.2f} before; upscale.max_flicker = {params.max_flicker}",
                hint="raise upscale.still",
            )
        facts |= {"flicker": seen.made, "flicker_given": seen.given, "still": seen.still}
    return facts


def film(outputs: Files, inputs: Files, params: Any) -> Facts:
    """Decodes fully, its pictures here or already when they were clips; frames = round(duration x fps); sound and
    picture end within one frame of each other; the sound is not clipped, and silent only where that is wanted."""
    from avatarctl.media import probe

    clips = sorted((role for role in inputs if role.startswith("clip.")), key=lambda role: int(role[5:]))
    made = probe.decode_all(outputs["film"], levels=True, joined=[inputs[role] for role in clips])
    video, audio = made.video, made.audio
    if video is None or audio is None:
        raise StepFailed("the film lacks " + ("sound" if video else "a picture"))
    if video.frames != round(video.duration * video.fps) or not video.constant_step:
        raise StepFailed("the film's frames are not evenly spaced", why=f"{video.frames} in {video.duration:.3f} s")
    if abs(video.duration - audio.duration) > 1.0 / video.fps + 1e-6:
        raise StepFailed(
            "sound and picture differ in length", why=f"{audio.duration:.3f} s against {video.duration:.3f} s"
        )
    if not params.silent and (audio.peak is None or audio.peak < 1e-3):
        raise StepFailed("the film is silent")
    if audio.clipped and audio.clipped > 0.001:
        raise StepFailed("the film's sound is clipped", why=f"{audio.clipped:.1%} of its samples")
    return {
        "duration": round(video.duration, 4),
        "frames": video.frames,
        "width": video.width,
        "height": video.height,
        "fps": video.fps,
        "peak": round(audio.peak or 0.0, 4),
    }


def export(outputs: Files, inputs: Files, params: Any) -> Facts:
    """What was asked for and nothing else; cues that fill the film without a gap; a whole row for each frame."""
    facts: Facts = {}
    if ("visemes_json" in outputs, "visemes_tsv" in outputs) != (params.visemes, params.visemes):
        raise StepFailed("the mouth shapes were not made as they were asked for")
    if ("blendshapes" in outputs) != params.blendshapes:
        raise StepFailed("the blend shapes were not made as they were asked for")
    if params.visemes:
        from avatarctl.text import cues

        try:
            found, duration = cues.from_json(outputs["visemes_json"].read_text(encoding="utf-8"))
        except ValueError as error:
            raise StepFailed("the mouth shapes cannot be read", why=str(error)) from error
        edges = [0, *(cue.end for cue in found)]
        if edges[:-1] != [cue.start for cue in found] or edges[-1] != round(100 * duration):
            raise StepFailed("the mouth shapes do not fill the film")
        facts |= {"cues": len(found), "duration": duration}
    if params.blendshapes:
        shapes = _report(outputs["blendshapes"], "list of blend shapes")
        frames, turns = shapes.get("frames"), shapes.get("head", {}).get("rotation")
        if not isinstance(frames, list) or not isinstance(turns, list) or len(frames) != len(turns):
            raise StepFailed("the blend shapes have not one rotation for each frame")
        if any(len(row) != len(shapes["names"]) or min(row) < 0 or max(row) > 1 for row in frames):
            raise StepFailed("a frame's blend shapes are not all there, or not between 0 and 1")
        facts |= {"frames": len(frames), "duration": shapes["duration"]}
    return facts


def check(outputs: Files, inputs: Files, params: Any) -> Facts:
    """A report of the known schema whose figures are numbers, or null where they cannot be known."""
    import math

    report = _report(outputs["report"], "report on the film")
    figures = report.get("figures")
    if report.get("schema") != "check/1" or not isinstance(figures, dict):
        raise StepFailed("the report on the film is of another schema", why=str(report.get("schema")))
    for name, value in figures.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if value is not None and not number:
            raise StepFailed("a figure of the film is no number", why=f"{name} = {value!r}")
    return figures
