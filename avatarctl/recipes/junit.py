"""A batch's results as JUnit XML, the form that CI systems show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from avatarctl.store import deliver
from avatarctl.store.model import JobRecord

HINT = "choose another place with --junit"


def write(path: Path, jobs: Sequence[JobRecord], seconds: float) -> None:
    """Write a suite with a case for each job, whole or not at all.

    Raises:
        BadInput: the path is a folder.
        Unavailable: the file cannot be written, or the disk is full.
    """
    failed = sum(job.status == "failed" for job in jobs)
    skipped = sum(job.status in ("cancelled", "queued", "running") for job in jobs)
    suite = ElementTree.Element(
        "testsuite",
        name="avatarctl",
        tests=str(len(jobs)),
        failures=str(failed),
        errors="0",
        skipped=str(skipped),
        time=f"{seconds:.3f}",
    )
    for job in jobs:
        case = ElementTree.SubElement(
            suite, "testcase", name=_xml(job.name), classname="batch", time=f"{job.seconds:.3f}"
        )
        if job.status == "failed":
            failure = ElementTree.SubElement(case, "failure", type=job.error_code, message=_xml(job.error))
            failure.text = _xml(job.error)
        elif job.status != "done":
            ElementTree.SubElement(case, "skipped", message=job.status)
    deliver.write(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True), path, HINT)


def _xml(text: str) -> str:
    """Without the control characters that XML has no place for."""
    return "".join(c for c in text if c in "\t\n" or c.isprintable())
