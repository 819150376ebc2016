"""The puppet's controls as ARKit's 52 blend shapes, for a modelled face in three.js or any other program.

Names, order and meaning are those of Apple's ARFaceAnchor.BlendShapeLocation; 0 is neutral, 1 the furthest that a
face can go. Left and right are the SUBJECT's: in a picture of a face that looks at us, its left eye is at image
right. The document:

    schema, fps, duration (seconds), names (52), frames (a row of 52 weights for each frame),
    head: {order: "ZXY", rotation: a row [x, y, z] for each frame}

`rotation` is in radians about the axes of three.js, as its `Euler` of that order takes them: x to image right, y up,
z out of the face towards the camera. So x > 0 nods down, y > 0 turns to image right (the subject's left), and z > 0
tilts counter-clockwise in the image. Row k is shown from k / fps seconds on.

What no row can say is left out: ARKit has no shape for breath, and a shift of the head is the scene's affair.
`tongueOut` is the tongue out of the mouth: t, d, n and l raise its tip behind the teeth, where no shape of ARKit's
shows it, so only sounds between the teeth (think, this) put it out, and a little.

In three.js, with the model of a face in `gltf.scene` (GLTFLoader) and the film's sound in an audio or video element:

```js
// A function that poses the model for a moment of the film. `head`, if given, is what turns: a bone or a group
// whose own rotation is zero when the face looks straight ahead.
function performer(data, model, head) {
  const plain = (name) => name.replace(/^.*\\./, "").replace(/_L$/, "Left").replace(/_R$/, "Right");
  const column = new Map(data.names.map((name, i) => [name, i]));
  const targets = [];
  model.traverse((node) => {
    for (const [name, slot] of Object.entries(node.morphTargetDictionary ?? {})) {
      if (column.has(plain(name))) targets.push([node.morphTargetInfluences, slot, column.get(plain(name))]);
    }
  });
  return (seconds) => {
    const place = Math.min(Math.max(seconds * data.fps, 0), data.frames.length - 1);
    const first = Math.floor(place), second = Math.min(first + 1, data.frames.length - 1);
    const mix = (rows, i) => rows[first][i] + (rows[second][i] - rows[first][i]) * (place - first);
    for (const [influences, slot, i] of targets) influences[slot] = mix(data.frames, i);
    const turn = data.head.rotation;
    head?.rotation.set(mix(turn, 0), mix(turn, 1), mix(turn, 2), data.head.order);
  };
}
```

    const data = await (await fetch("film.blendshapes.json")).json();
    const pose = performer(data, gltf.scene, gltf.scene.getObjectByName("Head"));
    renderer.setAnimationLoop(() => { pose(media.currentTime); renderer.render(scene, camera); });

`plain` also takes the names of three.js's own example face (`blendShape1.eyeBlink_L`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarctl.text.articulation import LEAD
from avatarctl.text.timings import Timings
from avatarctl.text.visemes import class_of

SCHEMA = "blendshapes/1"
ORDER = "ZXY"

_EYE = ("eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide")
NAMES: tuple[str, ...] = (
    *(name + "Left" for name in _EYE),
    *(name + "Right" for name in _EYE),
    "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
"""In the order of Apple's documentation: left eye, right eye, mouth and jaw, brows, cheeks and nose, tongue."""
_COLUMN = {name: i for i, name in enumerate(NAMES)}

_JAW = 0.5
"""Drop of a jaw that is wide open, u (the distance of the eye centres, 63 mm); speech stays in its lower half."""
_LIP = 0.12
"""How far a lip can be drawn away from the teeth, u."""
_WIDE, _SMILING = 0.12, 0.3
"""Corners of a mouth stretched as far as it goes, u; and the part of a smile in that."""
_PUCKERED = 0.2
"""Gap between rounded lips from which on they are a funnel and not a pucker, u."""
_ROLLED, _RAISED = 0.4, 0.25
"""How far pressed lips roll inwards; how far the upper lip rises from a tucked lower one."""
_BROW, _FURROW, _CHEEK, _SQUINT = 0.10, 0.08, 0.08, 0.05
"""The furthest that each goes, u."""
_WIDE_EYE = 0.3
_GAZE = 30.0
"""Degrees from straight ahead to where the eyes can look no further."""
_TONGUE, _TONGUE_SECONDS = 0.25, 0.05
_CHUNK = 2048


@dataclass(frozen=True, slots=True)
class Controls:
    """A clip's movements. `curves`: float64 (frames,) by name, in the units of `puppet.controls`; what is not there
    is 0. `tongue`: from second to second, when it is between the teeth.
    """

    frames: int
    curves: Mapping[str, NDArray[np.float64]]
    tongue: Sequence[tuple[float, float]] = ()

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        found = self.curves.get(name)
        return np.zeros(self.frames) if found is None else found


def dentals(timings: Timings | None) -> list[tuple[float, float]]:
    """Seconds in which the tongue is between the teeth."""
    if timings is None:
        return []
    return [(p.start - LEAD, p.end - LEAD) for p in timings.phonemes if class_of(p.ipa) == "dental"]


def weights(controls: Controls, fps: int) -> NDArray[np.float64]:
    """The 52 weights of each frame, float64 (frames, 52), 0..1, in the order of `NAMES`."""
    made = np.zeros((controls.frames, len(NAMES)))

    def add(name: str, amount: NDArray[np.float64]) -> None:
        made[:, _COLUMN[name]] += np.maximum(amount, 0)

    def both(name: str, amount: NDArray[np.float64]) -> None:
        add(name + "Left", amount)
        add(name + "Right", amount)

    gap, jaw, up = controls["open"], np.maximum(controls["jaw"], 0), np.maximum(controls["up"], 0)
    # The jaw takes the lower lip along; the lips close over it, or open further by themselves.
    add("jawOpen", jaw / _JAW)
    add("mouthClose", np.minimum(np.maximum(jaw - gap, 0), jaw) / _JAW)
    both("mouthLowerDown", (gap - jaw - up) / _LIP)
    both("mouthUpperUp", up / _LIP + _RAISED * controls["tuck"])
    rounded, parted = controls["round"], np.clip(gap / _PUCKERED, 0, 1)
    add("mouthFunnel", rounded * parted)
    add("mouthPucker", rounded * (1 - parted))
    stretched = np.maximum(controls["wide"], 0) / _WIDE
    both("mouthStretch", stretched)
    both("mouthSmile", controls["smile"] + _SMILING * stretched)
    both("mouthFrown", -controls["smile"])
    both("mouthPress", controls["press"])
    add("mouthRollLower", np.maximum(_ROLLED * controls["press"], controls["tuck"]))
    add("mouthRollUpper", _ROLLED * controls["press"])
    add("tongueOut", _bells(controls.tongue, controls.frames, fps))

    # `brow_skew` raises the brow at image right, the subject's left.
    for side, skew in (("Left", controls["brow_skew"]), ("Right", -controls["brow_skew"])):
        height = (controls["brow"] + skew) / _BROW
        add("browOuterUp" + side, height)
        add("browDown" + side, np.maximum(-height, 0) + np.maximum(controls["furrow"], 0) / _FURROW)
    add("browInnerUp", (controls["brow"] + controls["brow_inner"]) / _BROW)
    both("cheekSquint", controls["cheek"] / _CHEEK)
    both("eyeSquint", controls["squint"] / _SQUINT)
    lid = controls["lid"]
    both("eyeBlink", 1 - (1 - np.clip(controls["blink"], 0, 1)) * (1 - np.clip(lid, 0, 1)))
    both("eyeWide", -lid / _WIDE_EYE)
    # To image right is to the subject's left: outwards for the left eye, inwards for the right one.
    aside, down = controls["gaze_x"] / _GAZE, controls["gaze_y"] / _GAZE
    for name, amount in (("eyeLookOutLeft", aside), ("eyeLookInRight", aside)):
        add(name, amount)
    for name, amount in (("eyeLookInLeft", -aside), ("eyeLookOutRight", -aside)):
        add(name, amount)
    both("eyeLookDown", down)
    both("eyeLookUp", -down)
    return np.clip(made, 0, 1)


def rotation(controls: Controls) -> NDArray[np.float64]:
    """The head's rotation of each frame, radians, float64 (frames, 3): x, y, z of an Euler of order ZXY.

    The puppet turns by Rz(roll) Rx(pitch) Ry(-yaw) with y down and z away from the camera. Seen with y up and z
    towards the camera, turns about y and z change their sign.
    """
    turned: NDArray[np.float64] = np.deg2rad(
        np.stack([controls["pitch"], controls["yaw"], -controls["roll"]], axis=1) + 0.0
    )
    return turned


def _bells(spans: Sequence[tuple[float, float]], frames: int, fps: int) -> NDArray[np.float64]:
    """`_TONGUE` in the middle of each span, falling off smoothly beyond its ends."""
    curve = np.zeros(frames)
    for start, end in spans:
        centre, reach = (start + end) / 2, (end - start) / 2 + _TONGUE_SECONDS
        first, last = max(int((centre - reach) * fps), 0), min(int((centre + reach) * fps) + 2, frames)
        offset = np.clip(np.abs(np.arange(first, last) / fps - centre) / reach, 0, 1)
        curve[first:last] = np.maximum(curve[first:last], _TONGUE * (0.5 + 0.5 * np.cos(np.pi * offset)))
    return curve


def write(path: Path, clips: Iterable[Controls], frames: int, fps: int) -> None:
    """The document for a film of `frames`; a clip at a time, so that only its turns are kept for long."""
    turns: list[NDArray[np.float64]] = []
    separator = ""
    with path.open("w", encoding="utf-8") as file:
        head = {"schema": SCHEMA, "fps": fps, "duration": round(frames / fps, 6), "names": list(NAMES)}
        file.write(json.dumps(head, separators=(",", ":"))[:-1] + ',"frames":[')
        for controls in clips:
            turns.append(rotation(controls))
            rows = weights(controls, fps)
            for start in range(0, len(rows), _CHUNK):
                file.write(separator + _rows(rows[start : start + _CHUNK]))
                separator = ",\n"
        every = np.concatenate(turns)
        parts = (_rows(every[start : start + _CHUNK]) for start in range(0, len(every), _CHUNK))
        file.write('],\n"head":{"order":"' + ORDER + '","rotation":[' + ",\n".join(parts) + "]}}\n")


def _rows(values: NDArray[np.float64]) -> str:
    """Rows of JSON, one a line; four decimals, and no sign on a zero."""
    return ",\n".join(json.dumps(row, separators=(",", ":")) for row in (np.round(values, 4) + 0.0).tolist())
