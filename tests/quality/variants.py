"""Portraits of many people, made of two: what a photo may look like, and what enrolment has to say of each.

Every variant names what is expected: `accepted` or the refusal's first words, and the warnings that the
change alone brings (the two photos have their own: the astronaut is small and smiles, the admiral wears glasses).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from avatarctl.engines.puppet.controls import INDEX
from avatarctl.engines.puppet.render import Renderer
from avatarctl.engines.puppet.rig import build_rig
from tests.quality import bones, paint, prints, worn
from tests.quality.paint import Floats, Image

ANY = frozenset({"*"})
"""Warnings that a variant may bring or not."""


@dataclass(frozen=True, eq=False)
class Sitter:
    """A photo with its face's points; `other`: the photo and points of somebody else."""

    name: str
    photo: Image
    points: Floats
    other: tuple[Image, Floats]


@dataclass(frozen=True)
class Variant:
    """`make`: from a sitter to a picture. `refused`: "" or words of the refusal. `warned`: codes that have to
    come; `allowed`: codes that may; `lost`: usual codes that may be missing. `of`: sitters."""

    make: Callable[[Sitter], Image]
    refused: str = ""
    warned: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    of: tuple[str, ...] = ("astronaut", "hopper")
    shape: str = field(default="same")
    """`same`: the face's shape is the photo's, so that landmarks can be compared."""


USUAL = {"astronaut": frozenset({"small_face", "mouth_open"}), "hopper": frozenset({"glasses"})}


def _v(make: Callable[[Sitter], Image], warned: str = "", **more: object) -> Variant:
    sets = {k: frozenset(str(more.pop(k)).split()) for k in ("allowed", "lost") if k in more}
    return Variant(make, warned=frozenset(warned.split()), **sets, **more)  # type: ignore[arg-type]


def _photo(change: Callable[..., Image], *arguments: object) -> Callable[[Sitter], Image]:
    return lambda s: change(s.photo, *arguments)


def _face(change: Callable[..., Image], *arguments: object) -> Callable[[Sitter], Image]:
    return lambda s: change(s.photo, s.points, *arguments)


def _quarter(turns: int) -> Callable[[Sitter], Image]:
    return lambda s: np.ascontiguousarray(np.rot90(s.photo, turns))


def _mixed(bone: float, flesh: float) -> Callable[[Sitter], Image]:
    return lambda s: bones.mixed(s.photo, s.points, *s.other, bone, flesh)


def _width(pixels: int) -> Callable[[Sitter], Image]:
    """The face `pixels` wide in a photo of 800 x 600."""

    def make(s: Sitter) -> Image:
        width = np.ptp(s.points[list(paint.mesh.FACE_OVAL), 0])
        small = paint.scaled(s.photo, pixels / width)
        scene = np.full((600, 800, 3), (96, 110, 120), np.uint8)
        scene = paint.noise(scene, 3)
        small = small[:400, :500]
        scene[60 : 60 + small.shape[0], 240 : 240 + small.shape[1]] = small
        return scene

    return make


def _moved(s: Sitter) -> Image:
    """The camera, during the exposure, level."""
    return paint.motion_blur(s.photo, max(5, round(0.15 * paint.unit(s.points))), level=True)


def _at_edge(part: float) -> Callable[[Sitter], Image]:
    """The photo's left border at `part` of the face's width, 0 the face's own edge."""

    def make(s: Sitter) -> Image:
        oval = s.points[list(paint.mesh.FACE_OVAL), 0]
        return np.ascontiguousarray(s.photo[:, max(0, int(oval.min() + part * np.ptp(oval))) :])

    return make


def _stretched(wide: float, high: float) -> Callable[[Sitter], Image]:
    """The face alone wider or narrower, higher or lower."""

    def make(s: Sitter) -> Image:
        shape = s.points[:468, :2].astype(np.float64)
        return bones.reshaped(s.photo, s.points, shape.mean(0) + (shape - shape.mean(0)) * (wide, high))

    return make


def _posed(size: int = 512, **controls: float) -> Callable[[Sitter], Image]:
    """As the puppet itself draws it: the mouth open, the eyes closed."""

    def make(s: Sitter) -> Image:
        row = np.zeros(len(INDEX), np.float32)
        for name, value in controls.items():
            row[INDEX[name]] = value
        return _renderer(s, size).render(row)

    return make


@lru_cache(maxsize=4)
def _renderer(s: Sitter, size: int) -> Renderer:
    return Renderer(build_rig(s.photo, s.points, size, 0.42))


def _beside(s: Sitter) -> Image:
    height = min(s.photo.shape[0], s.other[0].shape[0])
    return np.hstack([s.photo[:height], s.other[0][:height]])


EYE = (33, 133, 159, 145, 70, 107, 111, 128)
LIPS = paint.mesh.LIPS_OUTER_UPPER + paint.mesh.LIPS_OUTER_LOWER

VARIANTS: dict[str, Variant] = {
    "plain": _v(lambda s: s.photo),
    "mirror": _v(_photo(cv2.flip, 1)),
    # camera
    "roll +15": _v(_photo(paint.turned, 15)),
    "roll -15": _v(_photo(paint.turned, -15)),
    "roll +20": _v(_photo(paint.turned, 20), allowed="rolled"),
    "roll +45": _v(_photo(paint.turned, 45), "rolled"),
    "sideways left": _v(_quarter(1), "turned_photo"),
    "sideways right": _v(_quarter(3), "turned_photo"),
    "upside down": _v(_quarter(2), "turned_photo"),
    "scale 0.45": _v(_photo(paint.scaled, 0.45), "small_face"),
    "scale 0.2": _v(_photo(paint.scaled, 0.18), refused="too small"),
    "face 80": _v(_width(80), "small_face", allowed="bars"),
    "face 60": _v(_width(60), "small_face", allowed="bars"),
    "face 40": _v(_width(44), "small_face", allowed="bars"),
    "face 30": _v(_width(30), refused="too small"),
    "jpeg 15": _v(_photo(paint.jpeg, 15)),
    "noise": _v(_photo(paint.noise, 25)),
    "motion blur": _v(_photo(paint.motion_blur, 9), "blurred"),
    "moved level": _v(_moved, "blurred"),
    "at the edge": _v(_at_edge(-0.02)),
    "cut by the edge": _v(_at_edge(0.25), "cut_off", allowed="covered turned"),
    "two faces": _v(_beside, "several_faces", allowed="glasses", lost="small_face mouth_open"),
    # light
    "dark": _v(_photo(paint.bright, 0.3), "underexposed"),
    "overexposed": _v(_photo(paint.bright, 2.2), "overexposed"),
    "side light": _v(_face(paint.side_light, 0.3, 1.15), allowed=""),
    "hard side light": _v(_face(paint.side_light, 0.08, 1.2), allowed="covered"),
    "grey": _v(_photo(paint.grey)),
    "sepia": _v(_photo(paint.sepia)),
    "grey, dark": _v(lambda s: paint.bright(paint.grey(s.photo), 0.35), "underexposed"),
    "faded": _v(lambda s: paint.to_bytes(paint.sepia(s.photo) * 0.35 + 120), lost="glasses"),
    "half shadow": _v(_face(prints.half_shadow), allowed="covered"),
    "blinds": _v(_face(prints.blinds), allowed="covered", of=("hopper",)),
    "red lamp": _v(_photo(prints.cast, 1.0, 0.35, 0.3)),
    "green lamp": _v(_photo(prints.cast, 0.45, 1.0, 0.5), allowed="covered"),
    "blue lamp": _v(_photo(prints.cast, 0.35, 0.45, 1.0), allowed="underexposed", of=("hopper",)),
    "two lamps": _v(_face(prints.two_lamps)),
    "burnt out": _v(_photo(paint.bright, 3.5), "overexposed", lost="glasses", of=("hopper",)),
    "blank": _v(_photo(paint.bright, 3.5), refused="no face", of=("astronaut",)),
    "night": _v(_photo(paint.bright, 0.1), "underexposed", of=("hopper",)),
    "contrasty": _v(_photo(prints.contrasty), "overexposed", of=("astronaut",)),
    # print and file
    "scan": _v(_face(prints.scan)),
    "halftone": _v(_face(prints.halftone), "printed", lost="glasses"),
    "thumbnail": _v(_photo(prints.thumbnail, 160), allowed="blurred", lost="small_face", of=("astronaut",)),
    "jpeg 5": _v(_photo(paint.jpeg, 5), of=("astronaut",)),
    # frame
    "chin cut": _v(_face(prints.framed, 0.5, 0.5, 0.5, -0.12), "cut_off", of=("astronaut",)),
    "forehead cut": _v(_face(prints.framed, 0.5, -0.25, 0.5, 0.6), "cut_off", of=("hopper",)),
    "fills the photo": _v(_face(prints.framed, 0.03, 0.03, 0.03, 0.03), "close_up"),
    "passport": _v(_face(prints.framed, 0.6, 0.6, 0.6, 0.5)),
    "round photo": _v(_face(prints.round_photo), "round_photo"),
    "round black photo": _v(_face(prints.round_photo, 1.4, 0.0), "round_photo", allowed="close_up"),
    "round black photo, dark": _v(
        lambda s: prints.round_photo(paint.bright(s.photo, 0.3), s.points, 1.75, 0.0),
        "round_photo underexposed",
        allowed="close_up",
    ),
    "letterbox": _v(_photo(prints.letterbox), "bars"),
    "captioned": _v(_photo(prints.captioned), "bars"),
    "polaroid": _v(_photo(prints.polaroid, -9.0), "bars", of=("astronaut",)),
    "grey polaroid": _v(lambda s: prints.polaroid(paint.grey(s.photo), 4.4), "bars", of=("hopper",)),
    "screenshot": _v(_photo(prints.screenshot), "bars"),
    "far off": _v(_face(prints.in_a_scene, 120, (2400, 1600), (0.9, 0.9)), "small_face", of=("astronaut",)),
    "in a corner": _v(_face(prints.in_a_scene, 170, (1600, 900), (0.0, 0.0)), lost="small_face", of=("hopper",)),
    "locket": _v(_face(prints.vignette), of=("hopper",)),
    # skin and hair
    "dark skin": _v(_face(paint.complexion, 0.5, 0.85, 1.0)),
    "very dark skin": _v(_face(paint.complexion, 0.34, 0.7, 0.8), allowed="underexposed"),
    "pale skin": _v(_face(paint.complexion, 1.16, 0.5, 0.45), allowed="overexposed"),
    "beard": _v(_face(paint.beard, (52, 36, 26))),
    "grey beard": _v(_face(paint.beard, (170, 165, 160))),
    "moustache": _v(
        lambda s: paint.strokes(s.photo, s.points, paint.moustache_region(s.points), (40, 28, 20), 1.5),
        allowed="mouth_open",
    ),
    "blond moustache": _v(
        lambda s: paint.strokes(s.photo, s.points, paint.moustache_region(s.points), (190, 150, 95), 1.5),
        of=("hopper",),
    ),
    "white beard": _v(_face(paint.beard, (215, 212, 208)), of=("astronaut",)),
    "stubble": _v(
        lambda s: paint.strokes(s.photo, s.points, paint.beard_region(s.points), (70, 56, 46), 0.25), of=("astronaut",)
    ),
    "cheek hair": _v(_face(worn.cheek_hair), of=("astronaut",)),
    "lipstick": _v(_face(worn.lipstick)),
    "freckles": _v(_face(worn.freckles), of=("hopper",)),
    # brushes
    "painting": _v(_photo(paint.painting), allowed="glasses covered"),
    "oil": _v(_photo(paint.oil)),
    "sketch": _v(_face(paint.sketch), allowed="overexposed"),
    "pencil": _v(_photo(paint.pencil), allowed="overexposed glasses", of=("astronaut",)),
    "ink": _v(_face(paint.ink), allowed="overexposed glasses"),
    "poster 8": _v(_photo(paint.poster, 8), "drawn", allowed="covered"),
    "poster 4": _v(_photo(paint.poster, 4), "drawn", allowed="covered"),
    # bones
    **{
        f"yaw {yaw:+d}": _v(
            _face(bones.turned_in_space, yaw, 0), "turned" if abs(yaw) > 26 else "", allowed="turned", shape="turned"
        )
        for yaw in (-30, -25, -15, 15, 25, 30)
    },
    "yaw +45": _v(_face(bones.turned_in_space, 45, 0), refused="to the side", shape="turned"),
    "yaw -40": _v(_face(bones.turned_in_space, -40, 0), "turned", shape="turned", of=("astronaut",)),
    "yaw +60": _v(_face(bones.turned_in_space, 60, 0), refused="no face", shape="turned", of=("astronaut",)),
    "pitch +15": _v(_face(bones.turned_in_space, 0, 15), shape="turned"),
    "pitch -15": _v(_face(bones.turned_in_space, 0, -15), shape="turned"),
    "child": _v(_face(bones.child), shape="other"),
    "small child": _v(_face(bones.child, 1.5), shape="other", of=("astronaut",)),
    "round": _v(_stretched(1.18, 0.95), shape="other", of=("hopper",)),
    "narrow": _v(_stretched(0.82, 1.06), shape="other", of=("astronaut",)),
    "old": _v(_face(bones.old), shape="other"),
    "mixed bones": _v(_mixed(0.7, 0.0), allowed="mouth_open", lost="small_face", shape="other"),
    "mixed half": _v(_mixed(0.5, 0.5), allowed="glasses mouth_open", lost="glasses mouth_open", shape="other"),
    "mixed flesh": _v(_mixed(0.3, 0.9), allowed="glasses mouth_open", lost="glasses mouth_open", shape="other"),
    "dark child": _v(
        lambda s: paint.complexion(bones.child(s.photo, s.points), s.points, 0.5, 0.85, 1.0), shape="other"
    ),
    "old grey beard": _v(
        lambda s: paint.beard(paint.grey(bones.old(s.photo, s.points)), s.points, (190, 190, 190)), shape="other"
    ),
    "dark skin, oil": _v(lambda s: paint.oil(paint.complexion(s.photo, s.points, 0.47, 0.85, 1.0)), of=("hopper",)),
    "dark skin, white beard": _v(
        lambda s: paint.beard(paint.complexion(s.photo, s.points, 0.5, 0.85, 1.0), s.points, (215, 212, 208)),
        lost="mouth_open",
    ),
    "cartoon": _v(
        lambda s: paint.poster(bones.child(s.photo, s.points, 2.2), 12),
        "uncertain_mouth drawn",
        allowed="covered",
        lost="small_face mouth_open",
        shape="other",
    ),
    # what the face does
    "slightly open": _v(_posed(open=0.05, jaw=0.03), "mouth_open", lost="small_face", of=("hopper",)),
    "speaking": _v(_posed(open=0.2, jaw=0.17, up=0.02), "mouth_open", lost="small_face", of=("hopper",)),
    "smile": _v(_posed(open=0.08, up=0.04, wide=0.05, smile=0.8), "mouth_open", lost="small_face", of=("hopper",)),
    "eyes closed": _v(_posed(blink=1.0), "eyes_closed", lost="small_face mouth_open"),
    "looks aside": _v(_posed(gaze_x=15.0), lost="small_face mouth_open"),
    # what is before the face
    "glasses": _v(_face(paint.glasses), "glasses"),
    "sunglasses": _v(_face(paint.glasses, 0.97), "eyes_hidden", allowed="glasses"),
    "mirrored glasses": _v(_face(worn.mirrored_glasses), "eyes_hidden glasses", allowed="covered"),
    "tinted glasses": _v(_face(paint.glasses, 0.75), "glasses", allowed="covered", of=("hopper",)),
    "microphone before the collar": _v(_face(worn.microphone, -0.35)),
    "microphone": _v(_face(worn.microphone, -0.15), "covered_chin", of=("hopper",)),
    "microphone at the chin": _v(_face(worn.microphone, 0.0), "covered_chin"),
    "microphone below the lip": _v(_face(worn.microphone, 0.2), "covered_chin"),
    "microphone at the lips": _v(_face(worn.microphone, 0.35), "covered_mouth", of=("astronaut",)),
    "microphone before the lip": _v(_face(worn.microphone, 0.35), refused="mouth is covered", of=("hopper",)),
    "microphone over the lips": _v(_face(worn.microphone, 0.55), refused="mouth is covered"),
    "cigarette": _v(_face(worn.cigarette), "covered_mouth"),
    "cigarette, freckles, dark": _v(
        lambda s: paint.bright(worn.cigarette(worn.freckles(s.photo, s.points), s.points, -1), 0.4),
        "covered_mouth",
        allowed="underexposed",
    ),
    "straw": _v(_face(worn.straw), "covered_mouth"),
    "fist": _v(_face(worn.fist), of=("astronaut",)),
    "hat": _v(_face(worn.hat_brim), allowed="covered"),
    "mask": _v(_face(paint.face_mask), refused="mouth is covered"),
    "hand over the mouth": _v(_face(paint.hand), refused="mouth is covered"),
    "hair over half": _v(_face(paint.fringe), "eyes_hidden", allowed="glasses covered", lost="glasses"),
    "patch over the mouth": _v(_face(paint.patch, LIPS, 1.35, (120, 90, 75)), refused="mouth is covered"),
    "patch over an eye": _v(_face(paint.patch, EYE, 1.1, (40, 36, 36)), "eyes_hidden"),
}


def portraits(photos: dict[str, Image], points: dict[str, Floats]) -> dict[str, Sitter]:
    """The two sitters."""
    a, b = photos
    return {one: Sitter(one, photos[one], points[one], (photos[two], points[two])) for one, two in ((a, b), (b, a))}
