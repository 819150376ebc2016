"""What stands around the pulls: how far they are, what films cost, where engines ran, and that nothing is unpickled."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from avatarctl import presets
from avatarctl.cli import downloads
from avatarctl.recipes.estimates import estimate
from tests.test_house import PACKAGE, modules


class Clock:
    """Seconds that a test lets go by."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# -- progress of pulls


def test_the_time_left_counts_what_came_now() -> None:
    clock = Clock()
    tally = downloads.Tally(clock)
    tally("one", 500, 1000)
    assert tally.left() is None
    clock.now += 10
    tally("one", 600, 1000)
    # 100 bytes in 10 s; the 500 of an earlier pull say nothing of the speed.
    assert tally.left() == pytest.approx(40)
    tally("two", 0, 100)
    tally("two", 100, 100)
    assert tally.left() == pytest.approx(20)


def test_plain_lines_come_at_the_beginning_and_seldom(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = downloads.Lines(heartbeat=30, clock=clock)
    lines("one", 0, 10_000_000)
    for _ in range(5):
        clock.now += 10
        lines("one", int((clock.now - 100) * 20_000), 10_000_000)
    said = capsys.readouterr().err.splitlines()
    assert said == ["fetching  one  10.0 MB", "fetching  one  6% of 10.0 MB, 8 min left"]


# -- estimates


class Remembered:
    """A ledger's history: what is asked of it here, and no more."""

    def __init__(self, **steps: list[tuple[float, dict[str, Any]]]) -> None:
        self.steps = steps

    def history(self, stage: str, engine: str, limit: int = 20) -> list[tuple[float, Mapping[str, Any]]]:
        return list(self.steps.get(stage, []))


LITE: dict[str, list[tuple[float, dict[str, Any]]]] = {
    "answer": [(30.0, {"characters": 140})],
    "speak": [(100.0, {"duration": 10.0}), (300.0, {"duration": 10.0})],
    "animate": [
        (5_000.0, {"frames": 250, "fps": 25, "width": 512, "height": 512}),
        (900_000.0, {"frames": 250, "fps": 25, "width": 1024, "height": 1024}),
    ],
    "finish": [(1_000.0, {"duration": 20.0})],
    "check": [(2_000.0, {})],
}


def of(settings: presets.Settings, **changes: Any) -> Any:
    ledger: Any = Remembered(**{**LITE, **changes})
    return estimate(ledger, settings)


def test_a_minute_of_film_by_what_is_remembered() -> None:
    found = of(presets.plain("lite"))
    assert found.unmeasured == ()
    # Films of another size say nothing; an answer of 140 characters is ten seconds of speech.
    assert found.stages == {"answer": 0.18, "speak": 1.2, "animate": 30.0, "finish": 3.0, "check": 6.0}
    assert found.seconds == pytest.approx(40.38)


def test_what_was_never_measured_gives_no_estimate() -> None:
    found = of(presets.plain("lite"), animate=LITE["animate"][1:])
    assert (found.unmeasured, found.seconds) == (("animate",), None)
    assert of(presets.resolve("lite", ["check.enabled=false"]), check=[]).unmeasured == ()
    larger = presets.resolve("lite", ["upscale.scale=2"])
    assert of(larger).unmeasured == ("upscale",)
    assert of(larger, upscale=[(10_000.0, {"frames": 250})]).stages["upscale"] == 60.0


# -- nothing is unpickled

OPENS_PACKAGES = PACKAGE / "engines" / "silero" / "package.py"
"""A package of torch is pickles and code: this module opens it from bytes whose digest `trusted.py` has compared."""
ANSWERS_ITS_DRIVER = PACKAGE / "runtime" / "executors" / "ray" / "host.py"
"""An actor of Ray unpickles which engine its driver wants, as Ray does with all it carries; no file comes there."""


def test_nothing_is_unpickled_but_tensors() -> None:
    """`torch.load` only with `weights_only=True`, numpy's arrays without pickles, and pickle itself loads no file."""
    wrong = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            of_what = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            given = {k.arg: k.value for k in node.keywords}
            only = given.get("weights_only")
            pickled = given.get("allow_pickle")
            bad = (
                (of_what == "torch" and node.func.attr == "load" and not _is(only, True))
                or (of_what in ("np", "numpy") and node.func.attr == "load" and not _is(pickled, False))
                or (of_what in ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")
                    and node.func.attr in ("load", "loads", "Unpickler", "open")
                    and (path != ANSWERS_ITS_DRIVER or node.func.attr != "loads"))
                or (node.func.attr in ("load_pickle", "PackageImporter") and path != OPENS_PACKAGES)
            )  # fmt: skip
            if bad:
                wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert wrong == []


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_entries_hold_what_can_be_read_safely() -> None:
    """A pickle among the weights is one that `weights_only` is known to open; anything new is looked at by a person."""
    from avatarctl.models import CATALOG

    plain = {".tflite", ".param", ".bin", ".png", ".jpg", ".json", ".txt", ".onnx", ".safetensors", ".yaml", ".gguf"}
    tensors = {".pth", ".pt", ".tar"}
    sources = {".zip"}
    assert {Path(m.file).suffix for m in CATALOG.values()} <= plain | tensors | sources
