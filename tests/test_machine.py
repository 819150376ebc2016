"""What this machine has, what presets lack on it, and changes in a settings file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatarctl import config, models, presets
from avatarctl.errors import BadConfig
from avatarctl.machine import advice, hardware, needs, settings_file
from avatarctl.machine.advice import Advice
from avatarctl.machine.hardware import Gpu, Hardware
from tests.conftest import TEST_MODELS
from tests.model_servers import MODEL, TAGS, serving

ROOMY = Hardware(cores=8, memory_mb=32_000, available_mb=30_000, free_bytes=10**12, gpu=Gpu("RTX 3060", 12_288))
LAPTOP = Hardware(cores=2, memory_mb=16_000, available_mb=12_000, free_bytes=10**12, gpu=None)


def program(folder: Path, name: str, script: str) -> None:
    """A program of that name in front of PATH's others."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "bin"


# -- hardware


def test_the_largest_gpu_of_the_drivers_program(bin_folder: Path) -> None:
    program(bin_folder, "nvidia-smi", "echo 'NVIDIA GeForce GT 1030, 2048'; echo 'NVIDIA GeForce RTX 3060, 12288'")
    assert hardware.gpu() == Gpu("NVIDIA GeForce RTX 3060", 12_288, 2)
    assert hardware.may_have_gpu()


@pytest.mark.parametrize("script", ["exit 9", "echo 'No devices were found'", "echo 'A100, [N/A]'", ""])
def test_a_driver_that_does_not_answer_is_no_gpu(script: str, bin_folder: Path) -> None:
    program(bin_folder, "nvidia-smi", script)
    assert hardware._by_program() == []


class Nvml:
    """NVML as its API reference describes it, for two GPUs; every call returns 0 when it went well."""

    MEMORY = ((8 << 30, 5 << 30), (12 << 30, 1 << 30))
    """Total and free of each, bytes."""
    works = True
    open = 0

    def nvmlInit_v2(self) -> int:
        Nvml.open += 1
        return 0 if self.works else 9

    def nvmlShutdown(self) -> int:
        Nvml.open -= 1
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = len(self.MEMORY)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:
        handle._obj.value = index + 1
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        memory._obj.total, memory._obj.free = self.MEMORY[handle.value - 1]
        return 0

    def nvmlDeviceGetName(self, handle: Any, name: Any, length: int) -> int:
        name.value = f"card {handle.value}".encode()
        return 0


def test_free_memory_is_the_largest_gpus_by_the_drivers_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: Nvml())
    assert hardware.gpu_free_mb() == 1024
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.gpu() == Gpu("card 2", 12_288, 2)
    assert Nvml.open == 0, "it was left open"
    monkeypatch.setattr(Nvml, "works", False)
    assert hardware.gpu_free_mb() is None


def test_nobody_knows_what_is_free_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", missing)
    assert hardware.gpu_free_mb() is None


def test_a_card_without_a_driver_is_seen(tmp_path: Path) -> None:
    for name, vendor, kind in (("0", "0x8086", "0x030000"), ("1", "0x10de", "0x040300")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(vendor + "\n")
        (tmp_path / name / "class").write_text(kind + "\n")
    assert not hardware.has_card(tmp_path)
    (tmp_path / "1" / "class").write_text("0x030200\n")
    assert hardware.has_card(tmp_path)
    silent = Hardware(cores=8, memory_mb=32_000, available_mb=1, free_bytes=10**12, gpu=None, silent_card=True)
    gap = next(g for g in gaps("studio", silent) if not g.stage)
    assert "its driver does not answer" in gap.what and gap.command.startswith("sudo ")


def test_memory_and_disk(tmp_path: Path) -> None:
    found = hardware.found(tmp_path / "not" / "there" / "yet")
    assert found.cores >= 1 and found.free_bytes > 0
    assert 0 < found.available_mb <= found.memory_mb


# -- gaps


def gaps(preset: str, machine: Hardware, folder: Path = TEST_MODELS) -> list[needs.Gap]:
    return needs.gaps(presets.plain(preset), machine, folder)


def test_lite_lacks_nothing_where_its_models_are() -> None:
    assert gaps("lite", LAPTOP) == []


def test_every_gap_of_lite_is_closed_by_one_command(tmp_path: Path) -> None:
    found = gaps("lite", LAPTOP, tmp_path)
    assert needs.commands(found) == ["avatarctl models pull face"]
    assert needs.bytes_to_come(found) == sum(m.size for m in models.resolve("face"))
    assert len(needs.distinct(found)) == 3
    several = [*found, *needs._of_model("speak", "xtts-v2", tmp_path)]
    assert needs.commands(several, "mine") == ["avatarctl models pull mine --accept-licence CPML"]


def test_a_server_that_is_away_is_installed_started_and_filled(
    monkeypatch: pytest.MonkeyPatch, bin_folder: Path
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    typed = needs.commands(g for g in gaps("cpu", LAPTOP) if g.stage == "answer")
    assert typed[0].startswith("curl ") and typed[1:] == ["ollama serve", f"ollama pull {MODEL}"]
    program(bin_folder, "ollama", "exit 1")
    typed = needs.commands(g for g in gaps("cpu", LAPTOP) if g.stage == "answer")
    assert typed == ["ollama serve", f"ollama pull {MODEL}"]


def test_a_server_without_the_model_says_what_to_pull(monkeypatch: pytest.MonkeyPatch, bin_folder: Path) -> None:
    program(bin_folder, "ollama", "exit 1")
    with serving() as server:
        server.documents["/api/tags"] = (200, {"models": []})
        monkeypatch.setenv("OLLAMA_HOST", server.address)
        assert [g.command for g in gaps("cpu", LAPTOP) if g.stage == "answer"] == [f"ollama pull {MODEL}"]
        server.documents["/api/tags"] = (200, TAGS)
        assert [g for g in gaps("cpu", LAPTOP) if g.stage == "answer"] == []


def test_what_is_no_command_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://192.0.2.1")  # AVATARCTL_OFFLINE=1 in every test
    gap = next(g for g in gaps("cpu", LAPTOP) if g.stage == "answer")
    assert gap.command == "" and "unset AVATARCTL_OFFLINE" in gap.advice and not gap.final


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from avatarctl.engines import readiness

    monkeypatch.setattr(readiness, "is_importable", lambda package: package != "ncnn")
    found = [g for g in gaps("cpu", LAPTOP) if g.stage == "upscale"]
    assert [(g.what, g.command) for g in found] == [
        ("upscale/realesrgan needs the package ncnn", "pip install 'avatarctl[realesrgan]'")
    ]


def test_an_engine_that_is_not_here_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = config.paths().user_presets
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('extends = "lite"\n[speak]\nengine = "nobody"\n[wants]\nmemory_gb = 1\n')
    report = next(r for r in advice.reports(LAPTOP, TEST_MODELS) if r.name == "mine")
    assert report.state == "impossible"
    assert [g.what for g in report.gaps] == ["there is no engine speak/nobody"]


def test_a_machine_that_is_too_small_is_told_so(tmp_path: Path) -> None:
    small = Hardware(cores=2, memory_mb=4_000, available_mb=3_000, free_bytes=10**6, gpu=Gpu("GT 1030", 2_048))
    found = gaps("studio", small)
    whats = " | ".join(g.what for g in found)
    assert "16 GB of memory, this machine has 3.9" in whats
    assert "a GPU with 12 GB; NVIDIA's has 2 GB" in whats
    assert "are free on the disk" in whats
    # What no command helps against comes first.
    finals = [g.final for g in found]
    assert finals == sorted(finals, reverse=True)
    # Cards say a little less than what is on their box.
    card = Hardware(cores=8, memory_mb=15_900, available_mb=1, free_bytes=10**12, gpu=Gpu("RTX", 12_037))
    assert not [g for g in gaps("studio", card) if not g.stage]


def test_a_licence_to_be_accepted_is_part_of_the_command(tmp_path: Path) -> None:
    gap = needs._of_model("speak", "xtts-v2", tmp_path)[0]
    assert gap.command == "avatarctl models pull xtts-v2 --accept-licence CPML"
    both = needs.commands([needs._of_model("transcribe", "whisper-base", tmp_path)[0], gap, gap])
    assert both == ["avatarctl models pull whisper-base xtts-v2 --accept-licence CPML"]
    odd = needs.Gap("animate", "?", pulls=("x",), licences=("Apache-2.0 in part",))
    assert odd.command == "avatarctl models pull x --accept-licence 'Apache-2.0 in part'"
    assert needs.bytes_to_come([gap, gap]) == sum(m.size for m in models.resolve("xtts-v2"))


def test_a_pull_of_a_preset_is_all_that_its_engines_use() -> None:
    names = {m.name for m in needs.weights(presets.plain("cpu"))}
    assert {m.name for m in models.resolve("whisper-small")} | set(models.groups["face"]) <= names
    assert {m.name for m in models.resolve("upscaler")} <= names
    assert {m.name for m in needs.weights(presets.plain("lite"))} == set(models.groups["face"])


# -- advice


def report(name: str, gpu_gb: int, *stages: str) -> advice.Report:
    wants = presets.Wants(memory_mb=1024 * (1 + gpu_gb), gpu_memory_mb=1024 * gpu_gb, disk_bytes=1)
    return advice.Report(name, name, wants, tuple(needs.Gap(s, f"{s} lacks", "do it" if s else "") for s in stages))


def test_the_best_is_the_most_demanding_that_is_ready() -> None:
    lite, cpu, studio = report("lite", 0), report("cpu", 0), report("studio", 12)
    assert advice.best([lite, cpu, studio]) == Advice("studio")
    assert advice.best([lite, cpu, report("studio", 12, "answer", "speak")]) == Advice("cpu")


def test_a_language_model_that_is_there_is_used_although_the_rest_is_not() -> None:
    found = advice.best([report("lite", 0), report("cpu", 0, "speak"), report("studio", 12, "")])
    assert found == Advice("lite", {"answer": {"engine": "ollama", "model": MODEL}})
    # Nothing of a preset for which the machine is too small.
    assert advice.best([report("lite", 0), report("cpu", 0, "")]) == Advice("lite")


def test_shipped_presets_say_what_they_want() -> None:
    names = [r.name for r in advice.reports(ROOMY, TEST_MODELS)]
    assert names == ["lite", "cpu", "studio"]
    assert presets.wants("studio").gpu_memory_mb == 12 * 1024
    assert presets.wants("demo") == presets.Wants()


@pytest.mark.parametrize("table", ['wants = "much"', "[wants]\nmemory = 1", '[wants]\nmemory_gb = "x"'])
def test_wants_are_checked(table: str) -> None:
    folder = config.paths().user_presets
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(table)
    with pytest.raises(BadConfig):
        presets.wants("mine")


def test_what_goes_before_the_advice_is_known() -> None:
    ollama = Advice("lite", {"answer": {"engine": "ollama", "model": MODEL}})
    assert not advice.in_force(ollama)
    config.paths().config.mkdir(parents=True)
    config.paths().user_file.write_text(
        f'preset = "lite"\n[answer]\nengine = "ollama"\nmodel = "{MODEL}"\nnum_ctx = 8192\n'
    )
    assert advice.in_force(ollama)
    assert advice.overruling(ollama, [{"answer": {"engine": "openai"}, "animate": {"size": 256}}]) == ["answer"]
    assert advice.overruling(Advice("lite"), [{"preset": "cpu", "speak": {"rate": 2}}]) == []


# -- the settings file

COMMENTED = """# My settings

# the fast one
preset = "lite"   # for now
avatar = 'Юля'

[answer] # who answers
# a small one
model = "tiny"
think = false

[animate]
size = 256
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'preset = "cpu"\n'),
        ("# only a comment\n", '# only a comment\npreset = "cpu"\n'),
        ("# about answers\n[answer]\nx = 1\n", 'preset = "cpu"\n\n# about answers\n[answer]\nx = 1\n'),
        ("# mine\n\n[answer]\nx = 1\n", '# mine\npreset = "cpu"\n\n\n[answer]\nx = 1\n'),
        ('avatar = "a"\n[answer]\n', 'avatar = "a"\npreset = "cpu"\n\n[answer]\n'),
        (COMMENTED, COMMENTED.replace('"lite"', '"cpu"')),
        ("preset = 'lite'\r\n[a]\r\nb = 1\r\n", 'preset = "cpu"\r\n[a]\r\nb = 1\r\n'),
        ('[presets]\npreset = "x"\n', 'preset = "cpu"\n\n[presets]\npreset = "x"\n'),
    ],
)
def test_one_value_changes_and_nothing_else(before: str, after: str, tmp_path: Path) -> None:
    file = tmp_path / "avatarctl.toml"
    file.write_bytes(before.encode())
    assert settings_file.change(file, {"preset": "cpu"}, {})
    assert file.read_bytes().decode() == after
    assert not settings_file.change(file, {"preset": "cpu"}, {})


def test_tables_are_changed_in_their_place(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "avatarctl.toml"
    file.parent.mkdir()
    file.write_text(COMMENTED)
    file.chmod(0o600)
    wanted: dict[str, dict[str, Any]] = {
        "answer": {"engine": "ollama", "model": "a:b", "think": True},
        "speak": {"x": 1},
    }
    assert settings_file.change(file, {}, wanted)
    text = file.read_text()
    assert text.startswith(COMMENTED.partition("[answer]")[0])
    assert '[answer] # who answers\nengine = "ollama"\n# a small one\nmodel = "a:b"\nthink = true\n' in text
    assert text.endswith("[animate]\nsize = 256\n\n[speak]\nx = 1\n")
    assert tomllib.loads(text)["avatar"] == "Юля"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in file.parent.iterdir()] == ["avatarctl.toml"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles.toml").write_text("avatar = 'a'\n")
    link = tmp_path / "avatarctl.toml"
    link.symlink_to("dotfiles.toml")
    settings_file.change(link, {"preset": "cpu"}, {})
    assert link.is_symlink() and "cpu" in (tmp_path / "dotfiles.toml").read_text()


@pytest.mark.parametrize(
    "text",
    [
        'answer = { engine = "x" }\n',
        'answer.engine = "x"\n',
        '"preset" = "lite"\n',
        'preset = """lite"""\n',
        'note = """\npreset = "lite"\n"""\n',
        "not toml",
        "preset = 'a'\nbad",
    ],
)
def test_what_lines_cannot_change_stays_as_it_is(text: str, tmp_path: Path) -> None:
    file = tmp_path / "avatarctl.toml"
    file.write_text(text)
    with pytest.raises(BadConfig) as caught:
        settings_file.change(file, {"preset": "cpu"}, {"answer": {"engine": "ollama"}})
    assert file.read_text() == text
    assert "TOML" in caught.value.what or 'preset = "cpu"' in caught.value.hint


# -- mirrors in the settings


def test_mirrors_come_from_the_strongest_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.mirrors() == []
    config.paths().config.mkdir(parents=True)
    config.paths().user_file.write_text('[models]\nmirrors = ["/mnt/models", "https://mirror.example/m"]\n')
    assert config.mirrors() == ["/mnt/models", "https://mirror.example/m"]
    presets.resolve("lite")
    monkeypatch.setenv("AVATARCTL_MODELS_MIRRORS", "/a b, http://[::1]:80/x")
    assert config.mirrors() == ["/a b", "http://[::1]:80/x"]


@pytest.mark.parametrize(
    "text", ['models = "x"', "[models]\nmirror = []", '[models]\nmirrors = "x"', "[models]\nmirrors = [1]"]
)
def test_wrong_mirrors_are_refused(text: str) -> None:
    config.paths().config.mkdir(parents=True)
    config.paths().user_file.write_text(text + "\n")
    resolves: list[Callable[[], object]] = [config.mirrors, lambda: presets.resolve("lite")]
    for resolve in resolves:
        with pytest.raises(BadConfig, match="models"):
            resolve()
