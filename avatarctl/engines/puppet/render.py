"""One row of controls to one picture. The same rig and row give the same pixels, whatever came before."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import cv2
import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.puppet.controls import INDEX
from avatarctl.engines.puppet.corners import LaidOver
from avatarctl.engines.puppet.cutout import Cutout
from avatarctl.engines.puppet.expression import displacement
from avatarctl.engines.puppet.framing import TEXTURE_SCALE
from avatarctl.engines.puppet.head import Pose, stance
from avatarctl.engines.puppet.interior import Mouth
from avatarctl.engines.puppet.lattice import Box
from avatarctl.engines.puppet.lids import closure, draw
from avatarctl.engines.puppet.lips import LipMotion, MouthShape, move
from avatarctl.engines.puppet.mouthfield import displacements
from avatarctl.engines.puppet.rig import Patch, Rig
from avatarctl.engines.puppet.sampling import remap
from avatarctl.engines.puppet.shading import gain
from avatarctl.engines.puppet.smooth import Array
from avatarctl.engines.puppet.teeth import EYE_DISTANCE, ORIGIN_X, ORIGIN_Y
from avatarctl.engines.puppet.texture import Texture

HEAD_ITERATIONS = 2
MOUTH_ITERATIONS = 4
"""Of the fields' inversion; the mouth's are steeper. No pixel of a frame is farther than 2 levels from where more of
the head's would bring it."""
BEHIND_LIPS = 0.10
"""How far the teeth stand behind the lips, u."""
LEAST_TUCK = 0.05
"""A lip tucked less than this does not reach the teeth."""
BAND = 32
"""Rows of a texture that are read at a time: what is between the calls stays in the processor's cache."""
EYE_SEARCH = 8
"""Pixels between the places where the eyes are looked for in the head's box."""
Picture = NDArray[np.uint8]
SHAPE_CONTROLS = ("open", "jaw", "up", "round", "press", "tuck", "wide", "tongue", "smile")


class Renderer:
    """Draws frames from a rig. Not to be used by two threads at once.

    Args:
        rig: whom to draw.
        background: RGB uint8 (height, width, 3), of the rig's size; without one, what the photo shows.
    """

    def __init__(self, rig: Rig, background: Picture | None = None) -> None:
        self.rig = rig
        self._head, self._mouth = rig.head.lattice(), rig.mouth.lattice()
        self._interior = Mouth(rig.interior, rig.frame, rig.lips)
        self._lips = LaidOver(rig.layers, rig.corners)
        self._cutout: Cutout | None = None
        if rig.scene.trusted or background is not None:
            behind = rig.scene.backdrop if background is None else background
            self._cutout = Cutout(rig.texture, rig.scene.alpha, behind, rig.head.box, self._head)
        else:
            self._texture = Texture(rig.texture)
        # As large as a film's frame, and new memory has to be cleared: they are kept.
        self._source: Array = np.empty((rig.head.height, rig.head.width, 2), np.float32)
        self._picture = np.empty_like(rig.canvas)
        self._moving = np.ascontiguousarray(_part(rig.moving, rig.head.box))

    def twin(self) -> Renderer:
        """Another one of the same rig, for another thread; what both only read is not there twice."""
        other = copy(self)
        other._source, other._picture = np.empty_like(self._source), np.empty_like(self._picture)
        other._lips = self._lips.twin()
        if self._cutout is not None:
            other._cutout = self._cutout.twin()
        return other

    def render(self, row: NDArray[np.float32]) -> Picture:
        """The picture for one row of controls.

        Args:
            row: float32 (len(CONTROLS),), in the order and units of `controls.CONTROLS`.

        Returns:
            RGB uint8 (height, width, 3), a new array.
        """
        return self._drawn(row).copy()

    def render_i420(self, row: NDArray[np.float32]) -> Picture:
        """The same as the encoder takes it: I420, uint8 (height * 3 // 2, width)."""
        return np.asarray(cv2.cvtColor(self._drawn(row), cv2.COLOR_RGB2YUV_I420), np.uint8)

    def _drawn(self, row: NDArray[np.float32]) -> Picture:
        """The picture, in an array that the next one is drawn in."""
        rig, picture = self.rig, self._picture
        value = {name: float(row[column]) for name, column in INDEX.items()}
        shape = MouthShape(**{name: value[name] for name in SHAPE_CONTROLS})
        unit = rig.frame.unit
        motion = move(rig.lips, unit, shape)
        angles, shift = (value["yaw"], value["pitch"], value["roll"]), (value["tx"] * unit, value["ty"] * unit)
        turn = stance(rig.pivot, rig.chest, unit, angles, shift, value["breath"])
        blink = min(max(value["blink"], 0.0), 1.0)
        expression = {
            "brow": value["brow"],
            "brow_inner": value["brow_inner"],
            "brow_skew": value["brow_skew"],
            "furrow": value["furrow"],
            "cheek": value["cheek"] + 0.045 * max(shape.smile, 0),
            "squint": value["squint"] + 0.012 * max(shape.smile, 0) + 0.012 * blink,
        }
        (skin,) = displacements(rig.head.mouth, rig.frame, motion, rig.head.depth.shape)
        forward = self._forward(rig.head, self._head.points, skin, displacement(rig.head.expression, expression), turn)
        backward = self._head.invert(forward, HEAD_ITERATIONS)
        source = self._head.source_map(backward, TEXTURE_SCALE, (0, 0), self._source)
        if self._cutout is None:
            np.copyto(picture, rig.canvas)
            head = _part(picture, rig.head.box)
            for start in range(0, len(source), BAND):
                rows = slice(start, start + BAND)
                read = cv2.cvtColor(self._texture.read(source[rows]), cv2.COLOR_RGBA2RGB)
                cv2.copyTo(read, self._moving[rows], head[rows])
        else:
            tiles = self._cutout.tiles(backward)
            self._cutout.person(picture, source, tiles)
        self._draw_mouth(picture, motion, shape, turn, displacement(rig.mouth.expression, expression))
        self._draw_eyes(picture, source, blink, value["lid"], (value["gaze_x"], value["gaze_y"]))
        if self._cutout is not None:
            self._cutout.put_behind(picture, tiles)
        return picture

    def _forward(self, patch: Patch, points: Array, local: Array, expression: Array | None, turn: Pose) -> Array:
        if expression is not None:
            local = local + expression
        return np.asarray(local + patch.carried(points + local, turn), np.float32)

    def _draw_mouth(
        self, picture: Picture, motion: LipMotion, shape: MouthShape, turn: Pose, expression: Array | None
    ) -> None:
        rig, patch, layers = self.rig, self.rig.mouth, self.rig.layers
        left, top, width, height = patch.box
        centre = np.array([[left + width / 2, top + height / 2]], np.float32)
        carried = np.rint(turn.apply(centre, np.array([rig.lip_depth], np.float32)) - centre)[0]
        drawn = []
        fields = displacements(patch.mouth, rig.frame, motion, patch.depth.shape)
        relief = gain(rig.shading, motion)
        for texture, field in zip(self._lips.textures(motion), fields, strict=True):
            forward = self._forward(patch, self._mouth.points, field, expression, turn)
            backward = self._mouth.invert(_less(forward, carried), MOUTH_ITERATIONS)
            source = self._mouth.source_map(backward, TEXTURE_SCALE, (layers.left, layers.top))
            layer = remap(texture, source, cv2.BORDER_REFLECT_101)
            if relief is not None:
                lit = cv2.resize(self._mouth.carried(relief, backward), (width, height))
                layer = np.asarray(cv2.multiply(layer, lit, dtype=cv2.CV_8U), np.uint8)
            drawn.append(layer)
        left, top = left + int(carried[0]), top + int(carried[1])
        here = (left, top, width, height)
        upper, lower = drawn
        mouth = np.asarray(cv2.cvtColor(lower, cv2.COLOR_RGBA2RGB), np.uint8)
        x, y, columns, rows = _between(upper, lower)
        if columns or shape.tuck > LEAST_TUCK:
            inside = self._interior.compose(motion, shape)
        if columns:
            gap = np.s_[y : y + rows, x : x + columns]
            behind = self._place_interior(inside, turn, (left + x, top + y, columns, rows))
            mouth[gap] = _laid(lower[gap], behind)
        if shape.tuck > LEAST_TUCK:
            mouth = _laid(self._place_interior(self._interior.biting(inside, motion, shape), turn, here), mouth)
        mouth = _laid(upper, mouth)
        # The head may carry the mouth's box over the canvas's border.
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + width, rig.width), min(top + height, rig.height)
        seen = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        region = picture[y0:y1, x0:x1]
        region[:] = _blend(mouth[seen], region, layers.window[seen])

    def _place_interior(self, picture: Picture, turn: Pose, box: Box) -> Picture:
        """Warp the interior into the mouth's box: an affine map, since it is flat and far from the eye."""
        rig, frame = self.rig, self.rig.frame
        left, top, width, height = box
        rows, columns = picture.shape[:2]
        corners = np.array([(0, 0), (columns, 0), (0, rows)], np.float32)
        millimetres = (corners + 0.5) / rig.interior.scale - (ORIGIN_X, ORIGIN_Y)
        pixels = millimetres * (frame.unit / EYE_DISTANCE)
        flat = frame.canvas(pixels[:, 0] / frame.half_width + rig.lips.middle, pixels[:, 1] + rig.lips.level)
        depth = np.full(3, rig.lip_depth + BEHIND_LIPS * frame.unit, np.float32)
        placed = (turn.apply(flat, depth) - (left, top)).astype(np.float32)
        place = cv2.getAffineTransform(corners, placed)
        return np.asarray(
            cv2.warpAffine(picture, place, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )

    def _draw_eyes(self, picture: Picture, source: Array, blink: float, lid: float, gaze: tuple[float, float]) -> None:
        """`source`: where each pixel of the head's box was read from the texture."""
        closed = closure(lid, gaze[1], blink)
        if not (closed or any(gaze)):
            return
        coarse = np.ascontiguousarray(source[::EYE_SEARCH, ::EYE_SEARCH])
        for eye in self.rig.eyes:
            rows, columns = eye.places.shape[:2]
            x, y = eye.left * TEXTURE_SCALE, eye.top * TEXTURE_SCALE
            shown = (x, y, columns, rows)
            left, top, width, height = (EYE_SEARCH * n for n in _showing(coarse, shown))
            if not width:
                continue
            reach = np.s_[max(top - EYE_SEARCH, 0) : top + height, max(left - EYE_SEARCH, 0) : left + width]
            left, top, width, height = _showing(source[reach], shown)
            part = np.s_[top : top + height, left : left + width]
            region = _part(picture, self.rig.head.box)[reach][part]
            place = _less(source[reach][part], (x, y))
            region[:] = draw(eye, region, place, closed, gaze)


def _showing(source: Array, box: Box) -> Box:
    """The box of the pixels of `source` that show something of a box of the texture."""
    x, y, columns, rows = box
    inside = cv2.inRange(source, (x, y, 0, 0), (x + columns - 1, y + rows - 1, 0, 0))
    left, top, width, height = cv2.boundingRect(inside)
    return left, top, width, height


def _less(places: Array, offset: Sequence[float] | Array) -> Array:
    """Float32 (rows, columns, 2) less two numbers: as a broadcast over two channels it would take ten times as long."""
    return np.asarray(cv2.subtract(places, np.array([*offset, 0, 0], np.float64)), np.float32)


def _between(upper: Picture, lower: Picture) -> Box:
    """The box of the pixels that neither of two RGBA pictures hides; it is small, also of an open mouth."""
    shown, other = (cv2.bitwise_not(cv2.extractChannel(layer, 3)) for layer in (upper, lower))
    left, top, width, height = cv2.boundingRect(cv2.multiply(shown, other, scale=1 / 255))
    return left, top, width, height


def _laid(over: Picture, under: Picture) -> Picture:
    """An RGBA picture over an RGB one, uint8 (h, w, 3)."""
    weight = cv2.extractChannel(over, 3) * np.float32(1 / 255)
    return _blend(np.asarray(cv2.cvtColor(over, cv2.COLOR_RGBA2RGB), np.uint8), under, weight)


def _blend(over: Picture, under: Picture, weight: Array) -> Picture:
    weight = np.ascontiguousarray(weight)
    mixed = cv2.blendLinear(np.ascontiguousarray(over), np.ascontiguousarray(under), weight, 1 - weight)
    return np.asarray(mixed, np.uint8)


def _part(picture: Picture, box: Box) -> Picture:
    left, top, width, height = box
    return picture[top : top + height, left : left + width]
