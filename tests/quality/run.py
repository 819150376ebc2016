"""`make quality`: many portraits through the real command line, each with a table's line and a contact sheet.

A portrait is enrolled and speaks a short text in two languages with every class of viseme. The figures are those of the
product's own stage `check`, as `avatarctl runs show` prints them, and each is held against `TARGETS`; what the stage
does not know is measured here: slope, rest, and what is drawn before it is encoded, opening and background.
`make quality PORTRAITS="a.jpg b.png"` takes your own photos, `make quality ALL=1` every variant of the two demo
portraits; without either, a dozen. The sheets lie in outputs/quality/.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from avatarctl.engines.facemesh.mesh import FaceMesh  # noqa: E402
from avatarctl.engines.puppet.render import Renderer  # noqa: E402
from avatarctl.engines.puppet.rig import Rig  # noqa: E402
from avatarctl.media import image  # noqa: E402
from avatarctl.recipes.verdict import Fault, faults  # noqa: E402
from avatarctl.stages.catalog import CheckParams  # noqa: E402
from avatarctl.store.store import Store  # noqa: E402
from tests.quality import measure, sheets, variants  # noqa: E402
from tests.tools import Studio  # noqa: E402

TEXT = "Бабушка Фёдора пьёт чай, а мы едим щуку. The wise judge shows five red zebras to you."
SIZE = 512
SEED = "3"
"""A performance with two blinks; by some seeds so short a film has none, and says nothing of them."""
TARGETS = CheckParams(
    min_sync=0.95,
    max_lag_ms=20,
    min_closures=0.98,
    min_blinks_as_intended=0.95,
    min_background_db=38,
    min_sharpness=0.93,
)
"""For the two photos as they are; a lag below half a frame is none."""
DEFAULT = (
    *("astronaut/plain", "hopper/plain", "astronaut/dark skin", "hopper/mixed flesh", "astronaut/child"),
    *("hopper/old", "hopper/beard", "astronaut/glasses", "astronaut/yaw +25", "hopper/roll -15", "hopper/oil"),
    *("astronaut/sketch", "astronaut/side light", "hopper/mask"),
)


@dataclass
class Subject:
    """A photo to be tried, and what came of it."""

    name: str
    path: Path
    expected: str = ""
    """Words of the refusal that is right; empty: it has to be accepted."""
    refused: str = ""
    warned: list[str] = field(default_factory=list)
    rig_path: Path | None = None
    clips: list[dict[str, Path]] = field(default_factory=list)
    figures: dict[str, float | None] = field(default_factory=dict)
    """The film's, by the stage `check`."""
    measured: measure.Measured | None = None
    problem: str = ""
    seconds: float = 0.0

    @property
    def missed(self) -> list[Fault]:
        """Targets that the film does not reach."""
        return faults(self.figures, TARGETS)

    @property
    def verdict(self) -> str:
        if self.problem:
            return "FAILED"
        right = self.expected in self.refused if self.expected else not self.refused
        return ("refused" if self.refused else "accepted") + ("" if right else ", WRONGLY")


def made(folder: Path, models: Path, chosen: list[str] | None) -> list[Subject]:
    """The variants of the demo portraits as files."""
    photos = {n: image.read_photo(next((models / f"portrait-{n}").iterdir()))[0] for n in ("astronaut", "hopper")}
    finder = FaceMesh({n: next((models / n).iterdir()) for n in ("face-detector", "face-mesh")})
    sitters = variants.portraits(photos, {n: finder.landmarks(p).points for n, p in photos.items()})
    subjects = []
    for sitter in sitters.values():
        for name, variant in variants.VARIANTS.items():
            full = f"{sitter.name}/{name}"
            if sitter.name not in variant.of or (chosen is not None and full not in chosen):
                continue
            path = folder / (full.replace("/", "-").replace(" ", "_").replace(",", "") + ".png")
            image.write_png(path, variant.make(sitter))
            subjects.append(Subject(full, path, variant.refused))
    order = {name: i for i, name in enumerate(chosen or [])}
    return sorted(subjects, key=lambda s: order.get(s.name, 0))


def perform(studio: Studio, subject: Subject) -> None:
    """Enrol and render by the command line; note where the parts of the film lie."""
    began = time.monotonic()
    name = subject.path.stem
    done = studio.run("enroll", str(subject.path), "--name", name, "--json", timeout=300)
    if done.code == 2:
        subject.refused = json.loads(done.err.strip().splitlines()[-1])["message"]
        return
    if done.code != 0:
        subject.problem = done.err.strip().splitlines()[-1]
        return
    subject.warned = [w["code"] for w in done.json["portrait"]["warnings"]]
    options = ("--avatar", name, "--json", "--seed", SEED, "--set", f"animate.size={SIZE}", "--out", f"{name}.mp4")
    done = studio.run("render", TEXT, *options, timeout=600)
    if done.code != 0:
        subject.problem = done.err.strip().splitlines()[-1]
        return
    steps = studio.ok("runs", "show", done.json["run"], "--json").json["steps"]
    with Store.open(studio.home, readonly=True) as store:
        for step in steps:
            manifest = store.lookup(step["key"])
            if manifest is None:
                continue
            files = {role: store.cas.path(output.digest) for role, output in manifest.outputs.items()}
            if step["stage"] == "rig":
                subject.rig_path = files["rig"]
            if step["stage"] == "check":
                subject.figures = step["facts"]
            if step["stage"] == "animate":
                subject.clips.append(files)
    subject.seconds = time.monotonic() - began


def judge(subject: Subject, finder: FaceMesh, folder: Path) -> None:
    """Measure the film and draw the sheet."""
    if subject.rig_path is None or subject.problem:
        return
    rig = Rig.load(subject.rig_path)
    rest = Renderer(rig).render(sheets.row({}))
    still = np.asarray(rig.moving) == 0
    clips = []
    for files in subject.clips:
        curves = np.load(files["curves"])
        intended = {str(n): curves["values"][:, i] for i, n in enumerate(curves["names"])}
        clips.append(
            measure.Clip(
                measure.decode(files["clip"], rig.width, rig.height),
                intended,
                int(curves["fps"]),
                still,
                rest,
                curves["values"],
            )
        )
    try:
        subject.measured = measure.measure(clips, rig, finder)
        points = finder.landmarks(rest).xy
    except Exception as error:
        subject.problem = f"the film cannot be measured: {error}"
        return
    picture = sheets.sheet(rig, points, f"{subject.name}   warnings: {' '.join(subject.warned) or 'none'}")
    image.write_png(folder / f"{subject.path.stem}.png", picture)


FIGURES = {
    "sync": ("r", "{:.3f}"),
    "lag_ms": ("lag ms", "{:+.0f}"),
    "closures": ("closures", "{:.0%}"),
    "blinks_as_intended": ("blink r", "{:.3f}"),
    "silence_motion": ("silence", "{:.2f}"),
    "background_db": ("background dB", "{:.1f}"),
    "sharpness": ("sharpness", "{:.3f}"),
    "flicker": ("flicker", "{:.2f}"),
    "face": ("face", "{:.0%}"),
}
"""Of the stage: header and format."""
HEADERS = ("portrait", "enrolment", *(header for header, _ in FIGURES.values()))
HEADERS += ("slope", "drawn r", "moved", "ends dB", "still dB", "film", "warnings or reason")


def line(subject: Subject) -> list[str]:
    cells = [subject.name, subject.verdict]
    m = subject.measured
    if m is None:
        return [*cells, *[""] * (len(HEADERS) - 3), subject.problem or subject.refused]
    for name, (_, form) in FIGURES.items():
        value = subject.figures.get(name)
        cells.append("-" if value is None else form.format(value))
    cells += [
        f"{m.open_slope:.2f}",
        f"{m.drawn_r:.3f}",
        str(m.moved),
        f"{m.ends_db:.1f}",
        f"{m.still_db:.1f}",
    ]
    cells.append("good" if not subject.missed else "; ".join(map(str, subject.missed)))
    return [*cells, " ".join(subject.warned)]


def table(rows: list[list[str]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(HEADERS) + " |", "|" + "---|" * len(HEADERS)]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in rows)])


def main() -> int:
    """Measure, print; 1 if enrolment was wrong about somebody."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("portraits", nargs="*", type=Path, help="photos of your own")
    parser.add_argument("--all", action="store_true", help="every variant of the demo portraits")
    parser.add_argument("--only", action="append", metavar="NAME", help='a variant, as "hopper/beard"; many times')
    parser.add_argument("--models", type=Path, default=ROOT / ".venv" / "test-models", help="folder of models")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "quality", help="folder of the sheets")
    parser.add_argument("--jobs", type=int, default=2, help="portraits at a time (default 2)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = str(ROOT)  # the commands run this checkout, whatever is installed
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="avatarctl-quality-") as folder:
        root = Path(folder)
        for name in ("photos", "work"):
            (root / name).mkdir()
        studio = Studio(root / "home", root / "work", options.models.absolute())
        if options.portraits:
            subjects = [Subject(p.stem, p.absolute()) for p in options.portraits]
        else:
            chosen = None if options.all else list(options.only or DEFAULT)
            subjects = made(root / "photos", options.models, chosen)

        def one(subject: Subject) -> Subject:
            perform(studio, subject)
            finder = FaceMesh({n: next((options.models / n).iterdir()) for n in ("face-detector", "face-mesh")})
            judge(subject, finder, options.out)
            print(f"{subject.name}: {subject.verdict}", file=sys.stderr, flush=True)
            return subject

        with ThreadPoolExecutor(options.jobs) as pool:
            done = list(pool.map(one, subjects))
    rows: list[list[Any]] = [line(s) for s in done]
    print(table(rows))
    wrong = [s.name for s in done if "WRONGLY" in s.verdict or s.problem]
    numbers = {s.name: {**s.figures, **s.measured.as_dict()} if s.measured else None for s in done}
    (options.out / "numbers.json").write_text(json.dumps(numbers, ensure_ascii=False, indent=1), encoding="utf-8")
    print(f"\n{len(done)} portraits in {time.monotonic() - began:.0f} s; sheets: {options.out}", file=sys.stderr)
    if wrong:
        print("wrong: " + ", ".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
