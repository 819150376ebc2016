"""`avatarctl presets`: named choices of engines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from avatarctl import presets
from avatarctl.amounts import size
from avatarctl.cli import common
from avatarctl.cli.options import print_json, print_result, print_table, state

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Named choices of engines.")


@app.command("list")
def list_(json: common.JsonOption = False) -> None:
    """All presets; yours hide the shipped ones of the same name."""
    found = [(name, str(presets.read(name)["description"]), path) for name, path in presets.available().items()]
    if state.json:
        rows = [{"name": n, "description": d, "path": str(p), "wants": asdict(presets.wants(n))} for n, d, p in found]
        print_json({"presets": rows})
        return
    print_table(["preset", "memory", "gpu", "disk", "what it is"], [[n, *_wants(n), d] for n, d, _ in found])


def _wants(name: str) -> list[str]:
    """What a preset says of memory, a GPU's memory and disk; dashes where it says nothing."""
    wanted = presets.wants(name)
    megabytes = (wanted.memory_mb, wanted.gpu_memory_mb)
    return [
        *(f"{mb / 1024:g} GB" if mb else "-" for mb in megabytes),
        size(wanted.disk_bytes) if wanted.disk_bytes else "-",
    ]


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The preset's name.")] = presets.DEFAULT,
    set_: common.SetOption = None,
    json: common.JsonOption = False,
) -> None:
    """Every stage's engine and params, with your own settings applied, and what each param means."""
    from avatarctl.engines import registry
    from avatarctl.stages.catalog import STAGES

    settings = presets.resolve(name, set_ or ())
    document: dict[str, Any] = {}
    for stage in STAGES:
        engine = settings.engine_name(stage, presets.every_role(stage))
        if stage in presets.FOLLOWING and registry.find(stage, engine) is None:
            continue  # that engine prepares nothing
        choice = settings.choice(stage, presets.every_role(stage))
        fields = choice.params.__dataclass_fields__
        params = {
            key: {"value": value, "help": fields[key].metadata.get("help", "")}
            for key, value in choice.params.as_dict().items()
        }
        document[stage] = {"engine": engine, "params": params}
    if state.json:
        print_json({"preset": name, "stages": document})
        return
    for stage, entry in document.items():
        print_result(f"[{stage}]\nengine = {entry['engine']}")
        for key, param in entry["params"].items():
            value = param["value"]
            if value is None or isinstance(value, bool):
                value = str(value).lower()
            print_result(
                f"{key} = {value!r}   # {param['help']}" if value == "" else f"{key} = {value}   # {param['help']}"
            )
        print_result("")
