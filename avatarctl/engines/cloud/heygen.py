"""HeyGen's interface, version 3: files brought there, films and speech made of them, and all of it removed again.

Source: developers.heygen.com, and the schemas in HeyGen's own command line (github.com/heygen-com/heygen-cli).
"""

from __future__ import annotations

import hashlib
import json
import time
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avatarctl.engines.cloud.service import Away, Refused, Request, Service, ask, nonsense, patiently, wait
from avatarctl.engines.cloud.spec import HEYGEN_FILM
from avatarctl.engines.contract import Job
from avatarctl.errors import AvatarctlError, BadInput, StepFailed

SERVICE = Service(HEYGEN_FILM, "X-Api-Key")
TITLE = HEYGEN_FILM.title

LOOKS = [2.0, 3.0, 5.0, 10.0]
"""Seconds between looks at whether a film is done; the last one again and again."""
MOST_UPLOAD_BYTES = 32_000_000
_MOST_FAILED_LOOKS = 5
"""One after the other, before a film under way is given up for this time."""


class HeyGen:
    """The service for the length of a step."""

    def __init__(self, job: Job, patience: float, setting: str) -> None:
        self._job, self._patience, self._setting = job, patience, setting

    def call(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The field `data` of its answer, or nothing where that is no object."""
        body = b"" if document is None else json.dumps(document).encode()
        return self._send(Request(method, path, body, {"Content-Type": "application/json"} if body else {}))

    def upload(self, path: Path, name: str, media_type: str) -> str:
        """Bring a file there: the id of the asset.

        Raises:
            BadInput: it is larger than HeyGen takes.
        """
        content = path.read_bytes()
        if len(content) > MOST_UPLOAD_BYTES:
            raise BadInput(f"{TITLE} takes files of at most 32 MB", why=f"{name} has {len(content) / 1e6:.0f} MB")
        # One part of multipart/form-data (RFC 7578); no file holds its own digest.
        border = hashlib.sha256(content).hexdigest()
        head = (
            f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            f"Content-Type: {media_type}\r\n\r\n"
        )
        body = head.encode() + content + f"\r\n--{border}--\r\n".encode()
        request = Request("POST", "/v3/assets", body, {"Content-Type": f"multipart/form-data; boundary={border}"})
        return text_of(self._send(request), "asset_id")

    def find(self, title: str) -> str:
        """The id of a film of that title that is done or under way; nothing where there is none."""
        query = urllib.parse.urlencode({"title": title, "limit": 100})
        try:
            found = self._document(Request("GET", f"/v3/videos?{query}")).get("data")
        except Refused:
            # The key may not be allowed to list films: then none is found, which is no reason to make none.
            return ""
        for one in found if isinstance(found, list) else ():
            if isinstance(one, dict) and one.get("title") == title and one.get("status") != "failed":
                return text_of(one, "id")
        return ""

    def wait_for(self, video: str, longest: float, look: Callable[[], None]) -> dict[str, Any]:
        """The film's entry once it is done. `look` is called at each look.

        Raises:
            StepFailed: it failed, or is not done after `longest` seconds; then it goes on being made.
        """
        until, failed, number = time.monotonic() + longest, 0, 0
        while True:
            try:
                found = self.call("GET", f"/v3/videos/{urllib.parse.quote(video, safe='')}")
                failed = 0
            except AvatarctlError as error:
                failed += 1
                # The film is made whether it is looked at or not.
                if failed >= _MOST_FAILED_LOOKS or not isinstance(error, StepFailed | Away):
                    raise
                found = {}
            status = found.get("status", "processing")
            if status == "completed":
                return found
            if status == "failed":
                why = str(found.get("failure_message") or found.get("failure_code") or "it does not say why")
                raise FilmFailed(f"{TITLE} could not make the film", why=" ".join(why.split())[:300])
            look()
            if time.monotonic() >= until:
                raise StepFailed(
                    f"{TITLE} is still at work on the film after {longest:g} s",
                    hint="the same command again goes on waiting for it, and does not pay twice",
                )
            wait(self._job, LOOKS[min(number, len(LOOKS) - 1)])
            number += 1

    def remove(self, *paths: str) -> None:
        """Delete what lies there; what cannot be is told."""
        for path in paths:
            try:
                self.call("DELETE", path)
            except AvatarctlError as error:
                self._job.note(f"{TITLE} did not delete {path}: {error.what}")

    def _send(self, request: Request) -> dict[str, Any]:
        data = self._document(request).get("data")
        return data if isinstance(data, dict) else {}

    def _document(self, request: Request) -> dict[str, Any]:
        reply = patiently(
            self._job,
            lambda: ask(SERVICE, self._job, request, patience=self._patience, setting=self._setting),
        )
        return reply.document(TITLE) if reply.body.strip() else {}


class FilmFailed(StepFailed):
    """HeyGen says that it cannot make this film; nothing of it is charged."""


def text_of(data: Mapping[str, Any], field: str) -> str:
    """A field that has to be there. Raises `StepFailed`."""
    found = data.get(field)
    if not isinstance(found, str) or not found:
        raise nonsense(TITLE, f"there is no {field}")
    return found
