"""What the measurements mean for a film: which photos are refused, and what is said about the others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from avatarctl.engines.facemesh import covering, quality
from avatarctl.engines.facemesh import landmarks as mesh
from avatarctl.engines.facemesh.crop import Image
from avatarctl.engines.facemesh.landmarks import Landmarks
from avatarctl.engines.facemesh.mesh import FaceMesh
from avatarctl.engines.facemesh.surround import Surround
from avatarctl.errors import BadInput, NoFace

MIN_WIDTH, GOOD_WIDTH = 40, 160
MAX_YAW, GOOD_YAW = 35, 20
MAX_PITCH, GOOD_PITCH = 35, 25
TURN_ROLL, GOOD_ROLL = 60, 20
GOOD_SHARPNESS = 0.16
MOST_SMEARED, SHARP_ENOUGH = 0.55, 0.32
"""`quality.smeared` from which on a photo is blurred along one direction; not if its sharpness is above the other."""
DARK_P95 = 90
"""Even dark skin has lights above this luminance in a well-lit photo: 91 to 108 on four made dark (the darkest 80, 85).
Light skin at three tenths of its light has 62 to 77."""
WHITE_SHARE = 0.1
COVERED_SHARE = 0.3
GLASSES_PROBABILITY = 0.5
LIPS_SEEN = 0.2
"""`Features.lips`, see there. Measured on two faces and 120 variants (tests/quality/variants.py): 0.35 to 1.5; under
a mask, a hand or a cloth 0 to 0.11."""
COVERED_LIP = 0.25
"""`covering.covered_lip`: 0 on the same variants, 0.13 on a poster of four colours; with a microphone before the mouth
0.33 to 0.93, but with lips painted blue or greyish ones on dark skin, too: alone it is no reason to refuse anybody."""
COVERED_CHIN = 0.31
"""`covering.covered_chin`: 0 to 0.06 on the same variants, 0.29 on a poster of four colours; behind a microphone
0.34 to 0.88."""
MOST_COVERED = 0.5
"""`covering.covered_lip` above which the mouth is refused, if the chin below it is covered, too: a film would tear what
lies before them. Microphones over the lips 0.67 to 0.93; one that only touches them 0.33. Lips that are painted blue
have a bare chin below them."""
MOST_HELD = 0.3
"""`covering.held`: up to 0.27 on the same variants, beards, moustaches and drawings among them; a cigarette or a straw
0.33 to 0.6."""
MOST_FLAT = 0.2
"""`quality.flat_share` from which on the face is drawn, see there."""
EYE_SEEN = 0.3
"""`Features.eyes`: 0.47 (a pencil sketch) to 5; behind dark glasses or a patch 0 to 0.06."""
EYE_ALONG = 0.15
"""`Features.along`: 0.21 (behind tinted glasses) to 3.7; behind dark and mirroring ones, a patch or hair 0.01 to 0.11,
behind thin hair 0.19."""
LIDS_OPEN = 0.14
"""`Features.lids`: open 0.15 to 0.61, closed 0.06 to 0.12."""
SURE_LIPS = 0.18
"""`FaceMesh.doubt`: 0.01 to 0.09 on photos, paintings and drawings, 0.12 and 0.15 under a thick painted beard, 0.19 and
0.33 on cartoons whose mouth the mesh misses."""
SURE_DRAWN_LIPS = 0.1
"""The same in flat colours: 0.02 to 0.06 on posters, 0.13 to 0.33 on cartoons whose mouth the mesh misses."""
OUTSIDE, MAX_OUTSIDE = 0.03, 0.4
MOST_FILLED = 0.85
"""`Measurements.filled` up to which a film shows nothing but the photo, as it is framed (`puppet.framing`)."""

_MEASURED_WIDTH = 320

_FRONT = "take a photo from the front, eyes on the camera"


@dataclass(frozen=True, slots=True)
class Measurements:
    """All that is measured of the chosen face. `width`, `interocular`: pixels."""

    width: float
    interocular: float
    pose: quality.Pose
    sharpness: float
    smeared: float
    flat: float
    exposure: quality.Exposure
    mouth: quality.Mouth
    glasses: quality.Glasses
    colourless: bool
    covered_share: float
    features: quality.Features
    doubt: float
    """How unsure the place of the lips is, u: see `FaceMesh.doubt`."""
    covered_lip: float
    covered_chin: float
    held: float
    filled: float
    """Height of the face over the photo's shorter side."""


def measure(rgb: Image, landmarks: Landmarks, finder: FaceMesh | None = None) -> Measurements:
    """Every measurement of one face in an RGB picture, uint8 (height, width, 3). `finder`: to measure `doubt`."""
    x0, _, x1, _ = landmarks.box
    width, interocular = x1 - x0, landmarks.interocular
    filled = float(np.hypot(*(landmarks.xy[mesh.FOREHEAD] - landmarks.xy[mesh.CHIN]))) / min(rgb.shape[:2])
    beyond = quality.outside_share(rgb.shape[:2], landmarks)
    rgb, landmarks = _closer(rgb, landmarks)
    return Measurements(
        width=width,
        interocular=interocular,
        pose=quality.pose(landmarks),
        sharpness=quality.sharpness(rgb, landmarks),
        smeared=quality.smeared(rgb, landmarks),
        flat=quality.flat_share(rgb, landmarks),
        exposure=quality.exposure(rgb, landmarks),
        mouth=quality.mouth(rgb, landmarks),
        glasses=quality.glasses(rgb, landmarks),
        colourless=quality.colourless(rgb, landmarks),
        covered_share=quality.covered_share(rgb, landmarks),
        features=quality.features(rgb, landmarks, beyond),
        doubt=finder.doubt(rgb, landmarks) if finder else 0.0,
        covered_lip=covering.covered_lip(rgb, landmarks),
        covered_chin=covering.covered_chin(rgb, landmarks),
        held=covering.held(rgb, landmarks),
        filled=filled,
    )


def _closer(rgb: Image, landmarks: Landmarks) -> tuple[Image, Landmarks]:
    """The face and a little around it, at most some 640 pixels wide: no measurement needs more."""
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = landmarks.box
    margin = 0.25 * max(x1 - x0, y1 - y0)
    left, top = max(0, int(x0 - margin)), max(0, int(y0 - margin))
    right, bottom = min(width, int(x1 + margin) + 1), min(height, int(y1 + margin) + 1)
    factor = max(1, int((x1 - x0) / _MEASURED_WIDTH))
    size = max(1, (right - left) // factor), max(1, (bottom - top) // factor)
    seen = rgb[top : top + size[1] * factor, left : left + size[0] * factor]
    if factor > 1:
        seen = cv2.resize(seen, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    points = landmarks.points / np.float32(factor)
    points[:, :2] += np.array([(0.5 - left) / factor - 0.5, (0.5 - top) / factor - 0.5], np.float32)
    return np.ascontiguousarray(seen), Landmarks(points, landmarks.score)


def choose(faces: list[Landmarks], wanted: int) -> int:
    """The index of the face to take. `wanted`: from the left, starting at 1; 0 takes the largest.

    Raises:
        NoFace: there are none.
        BadInput: there are fewer than `wanted`.
    """
    if not faces:
        raise NoFace(
            "no face was found in the photo",
            why="neither in the whole picture nor in parts of it",
            hint="take a sharp, well-lit photo of one face from the front, at least 160 pixels wide",
        )
    if wanted > len(faces):
        count = "only one face was" if len(faces) == 1 else f"{len(faces)} faces were"
        raise BadInput(
            f"there is no face {wanted} in the photo", why=f"{count} found", hint=f"--face goes from 1 to {len(faces)}"
        )
    if wanted:
        return wanted - 1
    return max(range(len(faces)), key=lambda index: faces[index].interocular)


def eyes_seen(features: quality.Features) -> tuple[bool, bool]:
    """Whether the right and the left eye are to be seen, be they open or closed."""
    right, left = (
        contrast >= EYE_SEEN and along >= EYE_ALONG
        for contrast, along in zip(features.eyes, features.along, strict=True)
    )
    return right, left


def refuse(measured: Measurements) -> None:
    """Raises `BadInput` for a face from which no good film can come."""
    if measured.width < MIN_WIDTH:
        raise BadInput(
            "the face is too small",
            why=f"{measured.width:.0f} pixels wide; at least {MIN_WIDTH} are needed, {GOOD_WIDTH} are good",
            hint="take a larger photo, or come closer to the camera",
        )
    yaw, pitch = measured.pose.yaw, measured.pose.pitch
    if abs(yaw) > MAX_YAW:
        raise BadInput(
            "the face looks too far to the side", why=f"by {abs(yaw):.0f} degrees, at most {MAX_YAW}", hint=_FRONT
        )
    if abs(pitch) > MAX_PITCH:
        way = "down" if pitch > 0 else "up"
        raise BadInput(
            f"the face looks too far {way}", why=f"by {abs(pitch):.0f} degrees, at most {MAX_PITCH}", hint=_FRONT
        )
    seen = measured.features
    if seen.outside > MAX_OUTSIDE:
        raise BadInput(
            "the face is cut off by the photo's edge",
            why=f"{seen.outside:.0%} of its width lies outside",
            hint="take a photo that shows the whole head",
        )
    if seen.lips < LIPS_SEEN:
        raise BadInput(
            "the mouth is covered",
            why=f"no lips are to be seen where they should be (contrast {seen.lips:.2f} of at least {LIPS_SEEN})",
            hint="take a photo without a mask, hand or cup before the mouth; a drawing has to show both lips",
        )
    if measured.covered_lip > MOST_COVERED and measured.covered_chin > COVERED_CHIN:
        raise BadInput(
            "the mouth is covered",
            why=f"something seems to lie before {measured.covered_lip:.0%} of the lower lip and before the chin",
            hint="take a photo without a microphone or cup before the mouth, or with it below the chin",
        )


def warnings(
    measured: Measurements,
    chosen: int,
    count: int,
    turned: int = 0,
    around: Surround | None = None,
    *,
    printed: bool = False,
) -> list[dict[str, str]]:
    """`{code, message, advice}` for each thing that makes the film worse than it could be.

    `turned`: degrees by which the photo was turned clockwise to bring the face upright. `around`: what was taken from
    around it. `printed`: in dots, which were smoothed away.
    """
    found: list[dict[str, str]] = []

    def warn(code: str, message: str, advice: str) -> None:
        found.append({"code": code, "message": message, "advice": advice})

    if turned:
        lay = "upside down" if turned == 180 else "on its side"
        warn(
            "turned_photo",
            f"the photo lay {lay}; it is turned by {turned} degrees",
            "see in the preview if it is upright",
        )
    if around is not None and around.round:
        warn("round_photo", "the photo is round; its corners are filled in", "the whole photo looks better")
    elif around is not None and around.sheet:
        warn("bars", "the paper around the photo is cut off", "see in the preview that nothing else is gone")
    elif around is not None and around.bars:
        warn("bars", "plain bars around the photo are cut off", "see in the preview that nothing else is gone")
    if printed:
        warn("printed", "the photo was printed in dots; they are smoothed away", "the original photo is sharper")
    if count > 1:
        warn("several_faces", f"{count} faces; number {chosen + 1} from the left is taken", "--face N takes another")
    if measured.width < GOOD_WIDTH:
        warn("small_face", f"the face is {measured.width:.0f} pixels wide", f"{GOOD_WIDTH} or more look sharp")
    if measured.sharpness < GOOD_SHARPNESS and not printed:
        warn("blurred", f"the face is blurred (sharpness {measured.sharpness:.2f})", "hold the camera still; focus")
    elif measured.smeared > MOST_SMEARED and measured.sharpness < SHARP_ENOUGH and not printed:
        warn("blurred", "the face is blurred along one direction", "hold camera and head still")
    light = measured.exposure
    dark, bright = light.p95 < DARK_P95, light.white_share > WHITE_SHARE
    if dark:
        warn(
            "underexposed", f"the face is dark (brightest skin {light.p95:.0f} of 255)", "use more light from the front"
        )
    if bright:
        warn("overexposed", f"{light.white_share:.0%} of the skin is plain white", "use softer light or less exposure")
    pose = measured.pose
    if abs(pose.yaw) > GOOD_YAW:
        warn("turned", f"the face is turned by {abs(pose.yaw):.0f} degrees", _FRONT)
    if abs(pose.pitch) > GOOD_PITCH:
        warn("tilted", f"the face looks {'down' if pose.pitch > 0 else 'up'} by {abs(pose.pitch):.0f} degrees", _FRONT)
    if abs(pose.roll) > GOOD_ROLL:
        warn("rolled", f"the head leans by {abs(pose.roll):.0f} degrees", "hold the head upright")
    if measured.mouth.state != "closed":
        shown = "shows teeth" if measured.mouth.state == "teeth" else "is open"
        warn("mouth_open", f"the mouth {shown}", "a closed, relaxed mouth moves best")
    if measured.glasses.probability > GLASSES_PROBABILITY:
        warn("glasses", "the person seems to wear glasses", "blinks look softer behind them; take them off if you can")
    seen = measured.features
    hidden = eyes_seen(seen).count(False)
    if hidden:
        what = "an eye is" if hidden == 1 else "the eyes are"
        warn("eyes_hidden", f"{what} not to be seen", "dark glasses and hair hide every look and blink; take them away")
    elif max(seen.lids) < LIDS_OPEN:
        warn("eyes_closed", "the eyes are closed", "they stay closed in the film; take a photo with open eyes")
    drawn = measured.flat > MOST_FLAT
    if drawn:
        warn("drawn", "the face is drawn in flat colours", "it is moved as a photo is; a finer picture looks better")
    if measured.doubt > (SURE_DRAWN_LIPS if drawn else SURE_LIPS):
        warn("uncertain_mouth", "the place of the mouth is unsure", "see in the preview if the lips are marked")
    if measured.covered_lip > COVERED_LIP:
        warn(
            "covered_mouth",
            f"something seems to lie before {measured.covered_lip:.0%} of the lower lip",
            "a microphone, hand or cup would be torn when the mouth opens; look at the preview",
        )
    elif measured.held > MOST_HELD and not drawn:
        warn(
            "covered_mouth",
            "something seems to be held between the lips",
            "a cigarette or a straw would bend when the mouth moves; look at the preview",
        )
    elif measured.covered_chin > COVERED_CHIN:
        warn(
            "covered_chin",
            "something seems to lie before the chin",
            "a microphone or cup would move with the jaw; look at the preview",
        )
    if seen.outside > OUTSIDE:
        warn("cut_off", f"the photo's edge cuts off {seen.outside:.0%} of the face", "show the whole head")
    if measured.filled > MOST_FILLED and seen.outside <= OUTSIDE:
        warn(
            "close_up",
            "the face fills the photo",
            "films blur what lies beyond its edges; take a photo that shows head and shoulders",
        )
    if measured.covered_share > COVERED_SHARE and not (dark or bright or hidden):
        warn("covered", f"{measured.covered_share:.0%} of the face looks covered", "keep hair and hands off the face")
    return found


def as_report(measured: Measurements) -> dict[str, Any]:
    """Plain numbers, rounded so that equal photos give equal text."""
    glasses = asdict(measured.glasses)
    glasses["worn"] = measured.glasses.probability > GLASSES_PROBABILITY
    report = {
        "face_width": measured.width,
        "interocular": measured.interocular,
        "pose": asdict(measured.pose),
        "sharpness": measured.sharpness,
        "smeared": measured.smeared,
        "flat": measured.flat,
        "exposure": asdict(measured.exposure),
        "mouth": asdict(measured.mouth),
        "glasses": glasses,
        "greyscale": measured.colourless,
        "covered_share": measured.covered_share,
        "features": asdict(measured.features),
        "doubt": measured.doubt,
        "covered_lip": measured.covered_lip,
        "covered_chin": measured.covered_chin,
        "held": measured.held,
        "filled": measured.filled,
    }
    return {name: _rounded(value) for name, value in report.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_rounded(inner) for inner in value]
    return round(value, 3) if isinstance(value, float) else value
