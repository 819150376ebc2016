"""Documents, their passages, and the search among them: what the embedded answers are taken from."""

from __future__ import annotations

from pathlib import Path

from avatarctl.knowledge.documents import Document, read_document
from avatarctl.knowledge.search import Hit, search

__all__ = ["Document", "Hit", "demo_documents", "read_document", "search"]


def demo_documents() -> list[Path]:
    """The documents that come with the package, sorted by name."""
    return sorted((Path(__file__).parent / "demo").glob("*.md"))
