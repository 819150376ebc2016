"""What the commands that perform recipes have in common: options, the store, the avatar, where results go."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from avatarctl import config, presets
from avatarctl.cli.options import a_place, print_json, print_result, print_table, say, state
from avatarctl.errors import BadInput
from avatarctl.presets import Settings
from avatarctl.recipes import deliveries
from avatarctl.recipes.deliveries import find_avatar as find_avatar
from avatarctl.recipes.film import Film
from avatarctl.runtime import session
from avatarctl.runtime.dryrun import DryRun
from avatarctl.runtime.events import Event, Text
from avatarctl.runtime.handles import Handle
from avatarctl.runtime.runner import Run
from avatarctl.store.model import Artefact, BatchRecord
from avatarctl.store.store import Store
from avatarctl.text import colours, emotions
from avatarctl.text.slugs import slug as slug

AvatarOption = Annotated[str | None, typer.Option("--avatar", "-a", help="Who answers; the newest one if not given.")]
PresetOption = Annotated[str | None, typer.Option("--preset", "-p", help="Choice of engines (avatarctl presets list).")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="stage.key=value; may be given many times.")]
OutOption = Annotated[
    str | None, typer.Option("--out", "-o", help="Where to put the result; a file or a folder.", parser=a_place)
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
RefreshOption = Annotated[bool, typer.Option("--refresh", help="Make every step again, even those in the cache.")]
TakeOption = Annotated[int, typer.Option("--take", min=0, help="Another take of what is left to chance.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Start of all chance; 0 if not given.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
ExportOption = Annotated[
    list[str] | None, typer.Option("--export", help="Beside the film: visemes or blendshapes; may be given many times.")
]
EmotionOption = Annotated[
    str | None,
    typer.Option("--emotion", help="What the face shows: neutral, happy, sad, thinking, surprised; [tags] go first."),
]
SubtitlesOption = Annotated[bool, typer.Option("--subtitles", help="Embed subtitles, and write an .srt beside.")]
BackgroundOption = Annotated[
    str | None,
    typer.Option(
        "--background", help="What is behind the person: a picture, or a colour like #20c060.", parser=a_place
    ),
]
AspectOption = Annotated[str | None, typer.Option("--aspect", help="Shape of the film: 1:1, 9:16 or 16:9.")]

MAX_INPUT_BYTES = 4 * 2**20


def chance(seed: int | None, take: int, refresh: bool) -> dict[str, Any]:
    """What --seed, --take and --refresh mean for a run or a plan."""
    return {
        "seed": config.seed() if seed is None else seed,
        "take": take,
        "refresh_from": "" if refresh else None,
    }


def read_text(argument: str | None, file: Path | None = None) -> str:
    """The text that was meant: the argument, stdin for `-`, or a file."""
    if (argument is None) == (file is None):
        raise BadInput("give the text once", hint="as an argument, as - for standard input, or with --file")
    if file is not None:
        try:
            # A named pipe is not waited for until somebody opens its other end, which may be never.
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            os.set_blocking(descriptor, True)
            with os.fdopen(descriptor, "rb") as opened:
                data = opened.read(MAX_INPUT_BYTES + 1)
        except OSError as error:
            raise BadInput(f"{file} cannot be read", why=error.strerror or str(error)) from error
    elif argument == "-":
        data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    else:
        # The bytes that were typed: an argument that the locale cannot decode arrives with surrogates in it.
        data = os.fsencode(str(argument))
    if len(data) > MAX_INPUT_BYTES:
        raise BadInput("the text is too large", hint="at most 4 MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("the text is not UTF-8", why=str(error), hint="save it as UTF-8") from error


def destination(out: str | None, settings: Settings, name: str, suffix: str) -> Path:
    """Where a result goes: `--out` as a file or a folder, else the outputs folder. Checked to be writable.

    A file's name gets the suffix of what it holds if it has another one or none (`--out v1.2`).
    """
    if out is None:
        target = Path(settings.outputs) / (name + suffix)
    elif out.endswith("/") or Path(out).is_dir():
        target = Path(out) / (name + suffix)
    elif Path(out).exists() and not Path(out).is_file():
        raise BadInput(f"{out} is neither a file nor a folder", hint="give a file name with --out")
    else:
        target = Path(out)
        if target.suffix.lower() != suffix:
            target = target.with_name(target.name + suffix)
    session.check_writable(target)
    return target


@contextmanager
def performing(store: Store, recipe: str, request: dict[str, Any], settings: Settings, **options: Any) -> Iterator[Run]:
    """A run with the display that fits the terminal."""
    from avatarctl.cli.progress import display

    def expected(stage: str, engine: str) -> float | None:
        history = sorted(run_ms for run_ms, _ in store.ledger.history(stage, engine))
        return history[len(history) // 2] if history else None

    shown = display(expected)
    on_text = options.pop("on_text", None)

    def listen(event: Event) -> None:
        if isinstance(event, Text) and on_text is not None:
            on_text(event.text)
        shown(event)

    try:
        with session.performing(store, recipe, request, settings, listener=listen, **options) as run:
            yield run
    finally:
        shown.close()


def print_plan(run: DryRun) -> None:
    """A dry run on stdout: a table, or JSON. Raises what forbids that a step sends something away."""
    _show_plan(run)
    if run.refusal is not None:
        raise run.refusal


def _show_plan(run: DryRun) -> None:
    if state.json:
        steps = [
            {
                "stage": s.stage,
                "engine": s.engine,
                "label": s.label,
                "verdict": s.verdict,
                "reason": s.reason,
                "key": s.key,
                "params": dict(s.params),
            }
            for s in run.planned
        ]
        print_json({"dry_run": True, "steps": steps})
        return
    for step in run.planned:
        print_result(f"{step.verdict:<8} {step.stage + '/' + step.engine:<20} {step.label:<34} {step.reason}")
        if state.verbose:
            params = " ".join(f"{k}={v}" for k, v in step.params.items())
            print_result(f"{'':8} {step.key or '(no key yet)'} {params}")


def resolve(
    preset: str | None, assignments: list[str] | None, avatar: str | None = None, *, emotion: str | None = None
) -> Settings:
    """Settings from every layer."""
    chosen = [] if emotion is None else [f"animate.mood={emotions.canonical(emotion, '--emotion')}"]
    settings = presets.resolve(preset, [*chosen, *(assignments or ())], avatar=avatar)
    for setting in settings.left if preset or assignments else ():
        stage = setting.partition(".")[0]
        say(f"{setting} was set for another engine, and {settings.engine_name(stage)} does not take it over")
    return settings


@dataclass(frozen=True)
class Look:
    """How a film is to look: settings for it, and a picture for its background."""

    settings: list[str]
    picture: Path | None

    def background(self, run: Run) -> Artefact | None:
        """The picture as an artefact."""
        from avatarctl.recipes import film

        return film.load_background(run, self.picture) if self.picture is not None else None


def look(background: str | None, aspect: str | None) -> Look:
    """What --background and --aspect mean. A file that exists is a picture, anything else has to be a colour."""
    settings = [f"animate.aspect={aspect}"] if aspect is not None else []
    if background is None:
        return Look(settings, None)
    path = Path(background)
    if path.exists():
        # A colour of the user's own settings must not hide the picture.
        return Look([*settings, "animate.background="], path)
    try:
        colours.parse(background)
    except ValueError:
        raise BadInput(
            f"{background!r} is neither a picture nor a colour",
            why="there is no such file",
            hint="give the path of a JPEG, PNG or WebP file, or a colour like '#20c060'",
        ) from None
    return Look([*settings, f"animate.background={background.strip()}"], None)


def deliver_film(
    run: Run, film: Film, moves: Handle | None, out: str | None, settings: Settings, name: str
) -> dict[str, Path]:
    """Wait for a film and copy it, with what belongs to it, to where the user wants it; see `deliveries.film`."""
    key = run.wait(film.made).key
    good = destination(out, settings, f"{name}-{key[3:9]}", ".mp4")
    return deliveries.film(run, film, moves, good, settings)


def print_figures(figures: Mapping[str, Any]) -> None:
    """What a film was measured to be; a dash where that cannot be known."""
    print_table(["figure", "value"], [[n, "-" if v is None else f"{v:g}"] for n, v in figures.items()])
    if guessed := figures.get("closures_guessed"):
        counted = figures["closures_counted"]
        print_result(
            f"{guessed:g} of {counted:g} closures are judged by a guess: the words are not known, and the lips were "
            "looked at where the sound alone seems to have p, b or m"
        )


def paths_by_role(files: Mapping[str, Path]) -> dict[str, str]:
    """The field `outputs` of a JSON document."""
    return {role: str(path) for role, path in files.items()}


def avatar_name(text: str) -> str:
    """A name that can be typed and shown again: one line, 1 to 80 characters, no @ (it marks a version)."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or len(name) > 80 or "@" in name or not name.isprintable():
        raise BadInput(f"{text!r} cannot be a name", hint="--name with 1 to 80 letters, and no @")
    return name


def find_batch(store: Store, wanted: str) -> BatchRecord:
    """A batch by its job file, which may be gone by now, or as `Ledger.batch` takes it."""
    try:
        return store.ledger.batch(str(Path(wanted).absolute().resolve()) if wanted else "")
    except (BadInput, ValueError, OSError):
        return store.ledger.batch(wanted)


def one_line(text: str, length: int) -> str:
    """The beginning of `text`, for a table."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def without_landmarks(report: Mapping[str, Any]) -> dict[str, Any]:
    """A portrait's report for JSON: 478 points tell a reader nothing."""
    return {k: v for k, v in report.items() if k != "landmarks"}


def describe_portrait(report: Mapping[str, Any]) -> list[str]:
    """What enrolment found in the photo, in a few lines; warnings last."""
    pose, image = report["pose"], report["image"]
    lines = [
        f"photo     {image['width']} x {image['height']}, face {report['face_width']:.0f} px wide, "
        f"number {report['face']['number']} of {len(report['faces'])}",
        f"pose      yaw {pose['yaw']:+.0f}, pitch {pose['pitch']:+.0f}, roll {pose['roll']:+.0f} degrees",
        f"mouth     {report['mouth']['state']}; glasses {'yes' if report['glasses']['worn'] else 'no'}",
    ]
    return lines + _warnings(report)


def describe_voice(report: Mapping[str, Any] | None) -> list[str]:
    """What enrolment found in the voice sample."""
    if report is None:
        return ["voice     none: the preset's own voice speaks"]
    f0 = report.get("f0")
    pitch = f"{f0:.0f} Hz" if f0 else "not found"
    lines = [f"voice     {report['duration']:.1f} s, noise {report['snr']:.0f} dB below, median pitch {pitch}"]
    return lines + _warnings(report)


def _warnings(report: Mapping[str, Any]) -> list[str]:
    return [f"warning   {w['message']}: {w['advice']}" for w in report.get("warnings", [])]
