"""The JSON Schema of job files, for editors: made from the same table that checks them."""

from __future__ import annotations

from typing import Any

from avatarctl.jobs.expand import TOP_LEVEL, VERSION
from avatarctl.jobs.model import CONTENT, FIELDS

ID = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """A schema after draft 2020-12 for a YAML job file; `$defs/job` fits one line of a JSONL file."""
    job = {name: {**field.schema, "description": field.help} for name, field in FIELDS.items()}
    varied = {
        name: {"type": "array", "minItems": 1, "items": schema, "description": schema["description"]}
        for name, schema in job.items()
        if name not in ("name", "output")
    }
    top: dict[str, Any] = {
        "version": {"const": VERSION, "description": "Version of this form."},
        "outputs": {"type": "string", "description": "Folder of the results, below the job file's folder."},
        "defaults": {
            **_table({k: v for k, v in job.items() if k != "name"}),
            "description": "What every job has that does not say otherwise.",
        },
        "matrix": {**_table(varied), "description": "Every combination becomes a job."},
        "jobs": {"type": "array", "items": {"$ref": "#/$defs/job"}, "description": "One entry a film."},
    }
    assert tuple(top) == TOP_LEVEL
    return {
        "$schema": ID,
        "title": "avatarctl job file",
        **_table(top),
        "anyOf": [{"required": ["jobs"]}, {"required": ["matrix"]}],
        "$defs": {"job": {**_table(job), "description": "One film. It has one of " + ", ".join(CONTENT) + "."}},
    }


def _table(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}
