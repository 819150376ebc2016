"""The rules of the house: which room may import which, what start-up may load, what lies at the top level."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "avatarctl"

MAX_LINES = 450

TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "LICENSE",
    "Makefile",
    "README.md",
    "avatarctl",
    "jobs",
    "outputs",
    "presets",
    "pyproject.toml",
    "requirements.lock",
    "tests",
}

# Room: the rooms whose modules it may import, besides its own.
FOUNDATION = {"amounts", "errors", "files"}
LEAVES = {"media", "text", "models", "knowledge"}
MAY_IMPORT: dict[str, set[str]] = {
    "amounts": set(),
    "files": {"errors"},
    "errors": set(),
    "tables": FOUNDATION,
    "config": FOUNDATION | {"tables"},
    "media": FOUNDATION | {"text"},
    "text": FOUNDATION,
    "models": FOUNDATION,
    "knowledge": FOUNDATION | {"text"},
    "stages": FOUNDATION | {"media", "text"},
    "store": FOUNDATION,
    "engines": FOUNDATION | LEAVES | {"stages"},
    "presets": FOUNDATION | {"config", "tables", "engines", "stages"},
    "jobs": FOUNDATION | {"stages", "text"},
    "pages": FOUNDATION,
    "machine": FOUNDATION | {"config", "presets", "models", "engines", "stages"},
    "runtime": FOUNDATION | LEAVES | {"config", "presets", "stages", "engines", "store", "machine"},
    "recipes": FOUNDATION
    | LEAVES
    | {"config", "tables", "presets", "jobs", "pages", "stages", "engines", "store", "runtime"},
    "cli": FOUNDATION
    | LEAVES
    | {"config", "tables", "presets", "jobs", "pages", "stages", "engines", "store", "runtime", "recipes", "machine"},
    "__main__": {"cli"},
}

# An engine's parts are its own; what engines share lies in these modules of their room.
SHARED_BY_ENGINES = {"contract", "registry"}
BORROWED_BY = {
    "puppet": {"facemesh"},
    "align": {"espeak"},
    "cloud": {"chat"},
    "check": {"facemesh"},
    "xtts": {"espeak"},
    "piper": {"align", "espeak"},
    "silero": {"espeak"},
    "sadtalker": {"facemesh", "worker"},
    "realesrgan": {"facemesh", "worker"},
}

HEAVY = {"numpy", "cv2", "sqlite_utils", "rich", "ffmpeg", "ai_edge_litert", "num2words", "snowballstemmer", "yaml"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every import, also of those inside functions, relative ones made absolute."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = list(parts[: len(parts) - node.level]) if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def room(dotted: str) -> str:
    """The room of `avatarctl.<room>...`, or "" for the package itself (its version)."""
    name = dotted.split(".")[1] if "." in dotted else ""
    return name if name in MAY_IMPORT else ""


def own_room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def own_imports(path: Path) -> Iterator[tuple[int, str]]:
    return ((line, name) for line, name in imports(path) if name.split(".")[0] == "avatarctl")


def test_every_room_has_a_rule() -> None:
    assert {own_room(p) for p in modules()} - {"__init__"} == set(MAY_IMPORT)


def test_imports_run_downwards_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules()
        for line, name in own_imports(path)
        if own_room(path) != "__init__"
        and room(name) not in {"", own_room(path)}
        and room(name) not in MAY_IMPORT[own_room(path)]
    ]
    assert wrong == []


def test_the_rules_themselves_allow_no_circle() -> None:
    def below(name: str, seen: tuple[str, ...]) -> None:
        assert name not in seen, " -> ".join([*seen, name])
        for other in MAY_IMPORT[name]:
            below(other, (*seen, name))

    for name in MAY_IMPORT:
        below(name, ())


def test_an_engine_imports_no_other_engine() -> None:
    wrong = []
    for path in modules():
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] != "engines" or len(parts) < 3:
            continue
        allowed = SHARED_BY_ENGINES | {parts[1]} | BORROWED_BY.get(parts[1], set())
        for line, name in own_imports(path):
            if room(name) == "engines" and name.split(".")[2] not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {name}")
    assert wrong == []


def test_no_engine_is_asked_for_by_its_name_above_the_presets() -> None:
    """Capabilities are asked, names never: `if engine == "xtts"` is a defect."""
    from avatarctl.engines.registry import specs

    names = {s.name for s in specs()}
    wrong = []
    for path in modules():
        if own_room(path) not in {"cli", "recipes", "runtime", "store"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                said = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
                wrong += [f"{path.relative_to(ROOT)}:{node.lineno}: {name}" for name in sorted(said & names)]
    assert wrong == []


def test_no_file_grows_past_what_a_reader_keeps_in_mind() -> None:
    files = [*modules(), *(ROOT / "tests").rglob("*.py")]
    lengths = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in files}
    assert {name: count for name, count in lengths.items() if count > MAX_LINES} == {}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ask", "--help"], ["presets", "list"]])
def test_start_up_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from avatarctl.cli.app import run\n"
        f"code = run({arguments!r})\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        f"sys.stderr.write(' '.join(sorted(loaded & {HEAVY!r})))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_specs_are_cheap_to_read() -> None:
    program = (
        "import sys\n"
        "from avatarctl.engines.registry import specs\n"
        "assert specs()\n"
        f"print(*sorted({{name.split('.')[0] for name in sys.modules}} & {HEAVY!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# -- the checkout


def tracked() -> list[str]:
    """Files that git knows, or would know at the next commit; all files where this is no checkout."""
    command = ["git", "-c", "core.quotepath=off", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, "these tests run in a git checkout: " + done.stderr.decode()
    return [name for name in done.stdout.decode().split("\0") if name and (ROOT / name).exists()]


def test_the_top_level_holds_what_was_agreed() -> None:
    assert {name.split("/")[0] for name in tracked()} == TOP_LEVEL


def test_nothing_names_a_package_registry() -> None:
    """Where packages come from is the user's own setting: a host in a lock would break mirrors and leak them."""
    hosts = [b"pypi" + b".org", b"python" + b"hosted.org", b"--index" + b"-url", b"--extra-index" + b"-url"]
    found = [
        f"{name}: {host.decode()}" for name in tracked() for host in hosts if host in (ROOT / name).read_bytes().lower()
    ]
    assert found == []


def test_locks_pin_every_package_by_hash() -> None:
    locks = [ROOT / "requirements.lock", *(ROOT / "tests").rglob("*.lock"), *PACKAGE.glob("engines/*/*.lock")]
    assert len(locks) > 5
    for lock in locks:
        entries = lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        for entry in entries:
            if entry.startswith("#"):
                continue
            assert "==" in entry.split(";")[0]
            assert "--hash=sha256:" in entry
            assert "://" not in entry


def test_locks_hold_every_dependency() -> None:
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}
    tests = {
        line.split("==")[0] for line in (ROOT / "tests" / "requirements.lock").read_text().splitlines() if "==" in line
    }

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=!~\[; ]", r)[0].lower().replace("_", "-") for r in requirements}

    assert names(project["dependencies"]) <= core
    assert names(project["optional-dependencies"]["dev"]) <= core | tests
    assert not core & tests


def test_locks_of_engines_share_one_torch() -> None:
    def pins(lock: Path) -> dict[str, str]:
        lines = [line.split()[0] for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line]
        return dict(line.split("==") for line in lines)

    shared = PACKAGE / "engines" / "torch"
    cuda, cpu, both = (pins(shared / f"{name}.lock") for name in ("cuda", "cpu", "requirements"))
    assert cpu == {"torch": f"{cuda['torch']}+cpu"}
    assert any(name.startswith("nvidia-") for name in cuda) and not set(cuda) & set(both)
    # Built for another torch they do not import, and take others along.
    unwanted = {*cuda, *both, "torchaudio", "torchvision", "torchcodec"}
    for lock in PACKAGE.glob("engines/*/requirements.lock"):
        if lock.parent != shared:
            assert not set(pins(lock)) & unwanted, lock


def test_no_torch_in_the_core() -> None:
    assert "torch" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")
