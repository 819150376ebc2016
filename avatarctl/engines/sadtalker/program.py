"""SadTalker's source code: found, checked, and imported.

A checkout that the user names is the user's own affair, and is left as it was found. Of an archive that was fetched
nothing is run but the files that are known, and these only if each has the digest that it has in the pinned commit.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import tempfile
import types
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatarctl.engines.sadtalker.pinned import COMMIT, FILES
from avatarctl.errors import Unavailable

ENTRIES = (
    "src/audio2exp_models/networks.py",
    "src/audio2pose_models/audio2pose.py",
    "src/face3d/models/networks.py",
    "src/facerender/modules/generator.py",
    "src/facerender/modules/keypoint_detector.py",
    "src/facerender/modules/make_animation.py",
    "src/facerender/modules/mapping.py",
    "src/config/auido2pose.yaml",
    "src/config/facerender.yaml",
    "src/config/facerender_still.yaml",
    "src/config/similarity_Lm3D_all.mat",
)
"""What is opened by name. The misspelling is upstream's."""
_FIVE = ((36, 39), (42, 45), (30,), (48,), (54,))
"""Of the 68 points of iBUG: both eyes, the tip of the nose, the corners of the mouth."""
_NEVER_CALLED = {"kornia.geometry": "warp_affine"}
"""Packages that a module names for training alone, with what it takes of them."""
_HINT = "avatarctl models pull sadtalker, or set [engines.sadtalker] home to the folder of a checkout"


class Program:
    """Modules and tables of one copy of SadTalker.

    Args:
        path: the folder `src` of a checkout, or a zip archive of the whole.

    Raises:
        Unavailable: it is no SadTalker, or an archive of something else than the pinned commit.
    """

    def __init__(self, path: Path) -> None:
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None
        self._root = path.parent
        if path.is_file():
            self._unpacked = tempfile.TemporaryDirectory(prefix="avatarctl-sadtalker-")
            self._root = Path(self._unpacked.name)
            try:
                _unpack(path, self._root)
            except Unavailable:
                self.close()
                raise
        absent = [name for name in ENTRIES if not (self._root / name).is_file()]
        if absent:
            raise Unavailable(f"{path} is no SadTalker", why=f"{absent[0]} is missing", hint=_HINT)

    def module(self, name: str) -> Any:
        """A module of it by its path below `src`, with dots. One program a process: its package is called `src`."""
        if str(self._root) not in sys.path:
            sys.path.insert(0, str(self._root))
        written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            with _stand_ins():
                return importlib.import_module(f"src.{name}")
        finally:
            sys.dont_write_bytecode = written

    def config(self, file: str) -> dict[str, Any]:
        """One of its YAML files."""
        import yaml

        read: dict[str, Any] = yaml.safe_load((self._root / "src" / "config" / file).read_text(encoding="utf-8"))
        return read

    def standard_points(self) -> NDArray[np.float64]:
        """Eyes, nose and mouth corners of an average face, float64 (5, 3): x to the right, y up, z to the camera."""
        from scipy.io import loadmat

        points = np.asarray(loadmat(self._root / "src" / "config" / "similarity_Lm3D_all.mat")["lm"], np.float64)
        return np.stack([points[list(five)].mean(axis=0) for five in _FIVE])

    def close(self) -> None:
        """Remove what was unpacked."""
        if self._unpacked is not None:
            self._unpacked.cleanup()


def _unpack(path: Path, folder: Path) -> None:
    """Write the known files of an archive, none of which may be another than it was."""
    try:
        with zipfile.ZipFile(path) as archive:
            tops = {name.partition("/")[0] for name in archive.namelist()}
            top = tops.pop() if len(tops) == 1 else ""
            for name, digest in FILES.items():
                content = archive.read(f"{top}/{name}")
                if hashlib.sha256(content).hexdigest() != digest:
                    raise Unavailable(
                        f"{path} is not SadTalker as it was pinned",
                        why=f"{name} is another than in commit {COMMIT[:12]}",
                        hint=_HINT,
                    )
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise Unavailable(f"{path} is no archive of SadTalker", why=str(error), hint=_HINT) from error


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Empty modules in place of packages that are imported and never called, while something is imported."""
    put: list[str] = []
    for dotted, function in _NEVER_CALLED.items():
        package = dotted.partition(".")[0]
        for name in (package, dotted):
            if name not in sys.modules:
                sys.modules[name] = types.ModuleType(name)
                put.append(name)
        if dotted in put:
            setattr(sys.modules[dotted], function, None)
    try:
        yield
    finally:
        for name in put:
            del sys.modules[name]
