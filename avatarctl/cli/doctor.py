"""`avatarctl doctor`: whether this installation can do its work, and which presets this machine can run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from avatarctl import config, models, presets
from avatarctl.amounts import duration, size
from avatarctl.cli import common, offer
from avatarctl.cli.options import print_json, print_result, print_table, say, state
from avatarctl.engines import readiness
from avatarctl.errors import AvatarctlError, Unavailable
from avatarctl.machine import advice, hardware, needs
from avatarctl.machine.advice import Report
from avatarctl.machine.hardware import Hardware
from avatarctl.recipes.estimates import Estimate, estimate

app = typer.Typer(add_completion=False, rich_markup_mode=None)

LOW_DISK_BYTES = 2 * 10**9
QUESTION = "Кто первым полетел в космос?"
"""What `--bench` asks: the demo documents have its answer, and any language model knows it."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `state`: ok, warning or broken."""

    name: str
    state: str
    found: str
    hint: str = ""


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also read every model and every kept file again.")] = False,
    bench: Annotated[
        bool, typer.Option("--bench", help="Time every preset that is ready, by a short film of the newest avatar.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Write the best that works into your own settings.")] = False,
    json: common.JsonOption = False,
) -> None:
    """Check this installation, and say which presets this machine can run and what each lacks.

    Exit code 4 if something is broken; a preset that lacks something is not.
    """
    folder = config.paths().models
    machine = hardware.found(folder)
    looks: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("memory", lambda: _memory(machine)),
        ("gpu", lambda: _gpu(machine)),
        ("ffmpeg", _ffmpeg),
        ("espeak-ng", _espeak),
        ("rhubarb", _rhubarb),
        ("ollama", _ollama),
        *([("ray", _ray)] if readiness.is_importable("ray") else []),
        ("full-text search", _search),
        ("face models", lambda: _models(deep)),
        ("recognition", _recognition),
        ("store", lambda: _store(deep)),
        ("disk", _disk),
        ("settings", _settings),
    ]
    checks = [_guarded(name, look) for name, look in looks]
    found = advice.reports(machine, folder)
    if bench:
        _bench(found)
    times = {report.name: _estimate(report.name) for report in found}
    best = advice.best(found)
    applied = offer.apply(best) if apply else None
    if state.json:
        document: dict[str, Any] = {
            "checks": [vars(c) for c in checks],
            "presets": [_as_dict(report, times[report.name]) for report in found],
            "best": {"preset": best.preset, "settings": {s: dict(t) for s, t in best.tables.items()}},
        }
        if applied is not None:
            document["applied"] = {"file": str(applied[0]), "changed": applied[1]}
        print_json(document)
    else:
        print_table(["check", "state", "found"], [[c.name, c.state, c.found] for c in checks])
        for check in checks:
            if check.state != "ok" and check.hint:
                print_result(f"{check.name}: {check.hint}")
        print_result("")
        _print_presets(found, times)
        _print_best(best, applied)
    broken = [c for c in checks if c.state == "broken"]
    if broken:
        raise Unavailable(f"not in order: {', '.join(c.name for c in broken)}", hint=broken[0].hint)


def _print_presets(found: list[Report], times: dict[str, Estimate | None]) -> None:
    rows = []
    for report in found:
        seconds = known.seconds if (known := times[report.name]) else None
        rows.append(
            [
                report.name,
                report.state,
                f"{report.wants.memory_mb / 1024:g} GB",
                f"{report.wants.gpu_memory_mb / 1024:g} GB" if report.wants.gpu_memory_mb else "-",
                size(report.wants.disk_bytes),
                duration(seconds) if seconds else "not measured",
                report.description,
            ]
        )
    print_table(["preset", "state", "memory", "gpu", "disk", "a minute of film", "what it is"], rows)
    for report in found:
        if report.gaps:
            to_come = needs.bytes_to_come(report.gaps)
            print_result("")
            print_result(f"{report.name} lacks{f' ({size(to_come)} to fetch)' if to_come else ''}:")
            for gap in needs.distinct(report.gaps):
                print_result(f"  {gap.what}" + (f" ({gap.advice})" if gap.advice else ""))
            for command in needs.commands(report.gaps, report.name):
                print_result(f"    {command}")


def _print_best(best: advice.Advice, applied: tuple[Path, bool] | None) -> None:
    print_result("")
    if applied is not None:
        file, changed = applied
        print_result(f"{best.words()}: {'written into' if changed else 'already in'} {file}")
    elif advice.in_force(best):
        print_result(f"best that works here: {best.words()}; your settings say so")
    else:
        print_result(f"best that works here: {best.words()}; avatarctl doctor --apply writes it into your settings")
    if against := offer.overruled(best):
        say(f"but {against}")


def _as_dict(report: Report, known: Estimate | None) -> dict[str, Any]:
    return {
        "name": report.name,
        "state": report.state,
        "wants": asdict(report.wants),
        "gaps": [
            {"stage": g.stage, "what": g.what, "command": g.command, "advice": g.advice, "bytes": g.bytes}
            for g in needs.distinct(report.gaps)
        ],
        "commands": needs.commands(report.gaps, report.name),
        "bytes": needs.bytes_to_come(report.gaps),
        "seconds_per_minute": known.seconds if known else None,
        "stages": dict(known.stages) if known else {},
    }


def _estimate(preset: str) -> Estimate | None:
    """None where there is no ledger yet, or none that can be read: the check `store` says more."""
    from avatarctl.runtime import session

    try:
        with session.open_store(readonly=True) as store:
            return estimate(store.ledger, presets.plain(preset))
    except (AvatarctlError, OSError):
        return None


def _bench(found: list[Report]) -> None:
    """A film of an answer with every preset that is ready, made anew: the ledger then knows how long each stage takes.

    Raises:
        BadInput: nobody is enrolled.
    """
    from avatarctl.recipes import answers, documents
    from avatarctl.runtime import session

    with session.open_store() as store:
        for report in found:
            if report.state != "ready":
                say(f"{report.name} is {report.state}, and was not measured")
                continue
            settings = presets.plain(report.name)
            who = common.find_avatar(store, None, settings)
            request = answers.request_of(question=QUESTION, avatar=who.id, documents=documents.known(store))
            with common.performing(store, "ask", request, settings, refresh_from="answer") as run:
                given = answers.ask(run, QUESTION, avatar=who)
                run.wait(given.text)
                if given.film is not None:
                    run.wait(given.film.made)
                    if given.film.checked is not None:
                        run.wait(given.film.checked)


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except AvatarctlError as error:
        return Check(name, "broken", error.as_dict()["message"], error.hint)
    except ImportError as error:
        return Check(name, "broken", str(error), "install avatarctl again")
    except OSError as error:
        return Check(name, "broken", str(error), "look at that path, or set AVATARCTL_HOME to another folder")


def _python() -> Check:
    import platform

    cores = len(os.sched_getaffinity(0))  # those that this process may use
    return Check("python", "ok", f"{platform.python_version()} on {platform.machine()}, {cores} cores")


def _memory(machine: Hardware) -> Check:
    if not machine.memory_mb:
        return Check("memory", "ok", "this system does not tell")
    free = f"{machine.available_mb / 1024:.1f} GB of {machine.memory_mb / 1024:.1f} GB free"
    return Check("memory", "ok", free)


def _gpu(machine: Hardware) -> Check:
    if machine.gpu is None:
        if machine.silent_card:
            found = "NVIDIA's card is there, and its driver does not answer"
            return Check("gpu", "warning", found, f"{needs.driver_command()}, and start the machine anew")
        return Check("gpu", "ok", "none; only the preset studio needs one")
    more = f", the largest of {machine.gpu.count}" if machine.gpu.count > 1 else ""
    return Check("gpu", "ok", f"{machine.gpu.name}, {machine.gpu.memory_mb / 1024:.1f} GB{more}")


def _ollama() -> Check:
    """Nothing but an answer by its engine needs it, so a server that is away is no fault."""
    from avatarctl.engines.chat import identity

    try:
        names = identity.ollama_models()
    except AvatarctlError as error:
        installed = "" if shutil.which("ollama") else "; not installed: https://ollama.com/download"
        return Check("ollama", "ok", f"{error.what}{installed}", error.hint)
    return Check("ollama", "ok", f"{len(names)} models: {', '.join(names)}" if names else "no models yet")


def _ffmpeg() -> Check:
    from avatarctl.media import ffmpeg

    return Check("ffmpeg", "ok", ffmpeg.binary())


def _espeak() -> Check:
    import espeakng_loader

    library, data = Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    if not library.is_file() or not data.is_dir():
        return Check(
            "espeak-ng", "broken", "its library or data is missing", "pip install --force-reinstall espeakng-loader"
        )
    return Check("espeak-ng", "ok", library.name)


def _rhubarb() -> Check:
    found = shutil.which("rhubarb")
    return Check("rhubarb", "ok", found or "not on PATH; only --set align.engine=rhubarb needs it")


def _ray() -> Check:
    """Where `batch run --executor ray` would go. The cluster is not asked, which takes seconds."""
    from importlib.metadata import version

    wanted = config.ray()
    cluster = wanted["address"] or "one of its own on this machine"
    return Check("ray", "ok", f"{version('ray')}, cluster: {cluster}, files {wanted['store'] or 'in chunks'}")


def _search() -> Check:
    import sqlite3

    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE probe USING fts5(content)")
    except sqlite3.OperationalError as error:
        return Check("full-text search", "broken", str(error), "use a Python whose SQLite has FTS5")
    finally:
        connection.close()
    return Check("full-text search", "ok", f"SQLite {sqlite3.sqlite_version} with FTS5")


def _models(deep: bool) -> Check:
    folder = config.paths().models
    look = models.verify if deep else models.installed
    states = {m.name: str(look(folder, m.name)) for m in models.resolve("face")}
    if all(s == "ok" for s in states.values()):
        return Check("face models", "ok", ", ".join(states))
    found = ", ".join(f"{name} {s}" for name, s in states.items())
    return Check("face models", "broken", found, "avatarctl models pull face")


def _recognition() -> Check:
    """Which engine hears a spoken question with the user's settings, and whether it can."""
    chosen = common.resolve(None, None).choice("transcribe", {"audio"})
    try:
        readiness.check_allowed(chosen.spec, config.cloud_allows)
        readiness.paths(chosen.spec, chosen.params, config.paths().models)
    except Unavailable as error:
        # Nothing but `ask --audio` needs it.
        return Check("recognition", "ok", f"none; for ask --audio: {error.hint}")
    return Check("recognition", "ok", chosen.spec.summary)


def _store(deep: bool) -> Check:
    from avatarctl.runtime import session
    from avatarctl.store.verify import verify

    with session.open_store() as store:
        people = len({a.name for a in store.ledger.avatars()})
        found = f"{people} avatars, {len(store.ledger.documents())} documents in {store.home}"
        if deep:
            report = verify(store, repair=False)
            if report.damaged:
                return Check("store", "broken", f"{len(report.damaged)} damaged files", "avatarctl cache verify")
    return Check("store", "ok", found)


def _disk() -> Check:
    folder = config.paths().data
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    verdict = "ok" if free > LOW_DISK_BYTES else "warning"
    return Check("disk", verdict, f"{free / 10**9:.1f} GB free", "avatarctl cache gc --max-size 5G")


def _settings() -> Check:
    from avatarctl.engines import registry

    settings = common.resolve(None, None)
    clouds = dict.fromkeys(spec.name for spec in registry.specs() if spec.cloud is not None)
    allowed = [name for name in clouds if config.cloud_allows(name)]
    sent = f"; may send something away: {', '.join(allowed)}" if allowed else ""
    found = f"preset {settings.preset}, results in {settings.outputs}/, your own file: {config.paths().user_file}{sent}"
    return Check("settings", "ok", found)
