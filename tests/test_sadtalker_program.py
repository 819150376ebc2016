"""Where SadTalker comes from: a checkout or an archive, what of it is run, and what is said when it is not here."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from avatarctl import presets
from avatarctl.engines.sadtalker import pinned, program
from avatarctl.engines.sadtalker.program import ENTRIES, Program
from avatarctl.engines.sadtalker.spec import SadTalkerParams, animate_requires
from avatarctl.errors import Unavailable
from avatarctl.models import sadtalker as catalog
from tests.tools import Studio, refused


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A folder that is laid out like SadTalker."""
    for name in ENTRIES:
        path = tmp_path / "SadTalker" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("from kornia.geometry import warp_affine\nANSWER = 42\n", encoding="utf-8")
    before = [*sys.path]
    yield tmp_path / "SadTalker"
    sys.path[:] = before
    for name in [n for n in sys.modules if n == "src" or n.startswith("src.")]:
        del sys.modules[name]


def test_a_checkout_is_imported_and_left_as_it_was(checkout: Path) -> None:
    files = sorted(checkout.rglob("*"))
    assert Program(checkout / "src").module("face3d.models.networks").ANSWER == 42
    assert sorted(checkout.rglob("*")) == files
    assert "kornia" not in sys.modules
    (checkout / ENTRIES[0]).unlink()
    with pytest.raises(Unavailable, match="no SadTalker") as caught:
        Program(checkout / "src")
    assert caught.value.why == f"{ENTRIES[0]} is missing" and "models pull sadtalker" in caught.value.hint


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"SadTalker-{pinned.COMMIT}/{name}", content)
    return path


def test_nothing_of_an_archive_is_run_but_what_is_known(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: (checkout / name).read_bytes() for name in ENTRIES}
    monkeypatch.setattr(program, "FILES", {n: hashlib.sha256(c).hexdigest() for n, c in files.items()})
    added = {**files, "src/__init__.py": b"raise SystemExit('run')", "../../evil.py": b""}
    made = Program(zipped(tmp_path / "good", added))
    assert made.module("facerender.modules.mapping").ANSWER == 42
    made.close()
    assert not (tmp_path / "evil.py").exists()
    for name, broken in (
        ("changed", {**files, ENTRIES[0]: b"ANSWER = 43\n"}),
        ("short", {n: c for n, c in files.items() if n != ENTRIES[3]}),
    ):
        with pytest.raises(Unavailable) as caught:
            Program(zipped(tmp_path / name, broken))
        assert "models pull sadtalker" in caught.value.hint
    (tmp_path / "none").write_bytes(b"<html>")
    with pytest.raises(Unavailable, match="no archive"):
        Program(tmp_path / "none")


def test_every_file_that_is_opened_is_pinned() -> None:
    assert set(ENTRIES) <= set(pinned.FILES)
    assert all(pinned.COMMIT[:12] in m.file or m.sha256 for m in catalog.MODELS)
    assert len(pinned.COMMIT) == 40 and {len(d) for d in pinned.FILES.values()} == {64}


def test_weights_of_an_installation_are_taken_from_there(checkout: Path) -> None:
    def weights(**changes: Any) -> Mapping[str, str]:
        return animate_requires(SadTalkerParams(home=str(checkout), device="cpu", **changes)).weights

    assert weights() == {
        "program": str(checkout / "src"),
        "networks": "sadtalker-256",
        "mapping": "sadtalker-mapping-full",
    }
    (checkout / "checkpoints").mkdir()
    file = checkout / "checkpoints" / "SadTalker_V0.0.2_512.safetensors"
    file.touch()
    assert weights(resolution=512, preprocess="crop") == {
        "program": str(checkout / "src"),
        "networks": str(file),
        "mapping": "sadtalker-mapping-crop",
    }
    assert animate_requires(SadTalkerParams(device="cuda", resolution=512)).lane == "gpu"


def test_where_it_lies_is_a_setting_and_never_in_a_key(
    isolated: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "work" / "avatarctl.toml").write_text(
        '[engines.sadtalker]\npython = "/opt/python"\nhome = "/opt/a"\n[animate]\nengine = "sadtalker"\n'
    )
    settings = presets.resolve()
    for stage in ("animate", "rig"):
        params = settings.choice(stage, ["rig"]).params
        assert params.as_dict()["home"] == "/opt/a" and "home" not in params.keyed()
    monkeypatch.setenv("AVATARCTL_SADTALKER_HOME", "/opt/b")
    settings = presets.resolve()
    assert settings.choice("animate").params.as_dict()["home"] == "/opt/b"
    assert settings.interpreter("sadtalker") == "/opt/python"


def test_without_sadtalker_there_is_one_clear_sentence(bare: Studio, portraits: dict[str, Path]) -> None:
    enrol = ("enroll", str(portraits["astronaut"]), "--name", "a")
    refused(bare.run(*enrol, AVATARCTL_ANIMATE_ENGINE="sadtalker"), 4, "sadtalker-program", "models")
    lost = {"AVATARCTL_ANIMATE_ENGINE": "sadtalker", "AVATARCTL_SADTALKER_HOME": str(bare.work / "nowhere")}
    refused(bare.run(*enrol, **lost), 4, "nowhere")
