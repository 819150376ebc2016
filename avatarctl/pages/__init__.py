"""Pages that people look at: self-contained HTML, made of plain records, that knows no store and no media."""

from __future__ import annotations

from avatarctl.pages.batch import render as batch_page
from avatarctl.pages.run import render as run_page

__all__ = ["batch_page", "run_page"]
