"""Job files: lists of films to make, in YAML for people, in JSONL and CSV for programs.

file -> `source` (values with their lines) -> `expand` (defaults, matrix, overrides) -> `Job`s, or every problem at once
"""

from __future__ import annotations

from avatarctl.jobs.expand import read
from avatarctl.jobs.model import Job, JobFile
from avatarctl.jobs.problems import BadJobFile, Problem

__all__ = ["BadJobFile", "Job", "JobFile", "Problem", "read"]
