"""What of a model's writing is said: not its thoughts, whichever way they are marked, and no sign of refusal.

Text arrives in pieces that are cut anywhere. What may become a tag with the piece to come waits; everything else goes
on at once, since somebody is listening.
"""

from __future__ import annotations

import re
import unicodedata

from avatarctl.errors import StepFailed
from avatarctl.text import emotions

NO_ANSWER = "NO_ANSWER"
"""What the model is asked to write when the documents hold no answer."""

_NAMES = ("think", "thinking", "thought")
_TAGS = tuple(f"<{slash}{name}>" for name in _NAMES for slash in ("", "/"))
_OPENING = re.compile("<(?:" + "|".join(_NAMES) + ")>", re.IGNORECASE)
_CLOSING = re.compile("</(?:" + "|".join(_NAMES) + ")>", re.IGNORECASE)
_ANY = re.compile("</?(?:" + "|".join(_NAMES) + ")>", re.IGNORECASE)
_TAG = re.compile(r"\s*\[\s*(\w*)\s*(\]?)\s*")
_WRAPPING = "*_\"'`[«( \n\t"
"""What models put around a word that they were told to write alone."""


class Spoken:
    """The answer out of the pieces; `text` is all that was let through.

    `refused`: the model wrote `NO_ANSWER` (looked for only where `may_refuse`). `thought`: it also thought.
    """

    def __init__(self, *, may_refuse: bool = False) -> None:
        self.text = ""
        self.refused = False
        self.thought = False
        self._thinking = False
        self._tag = ""
        self._spaces = ""
        self._opening: str | None = "" if may_refuse else None

    def feed(self, piece: str) -> str:
        """What can be said now.

        Raises:
            StepFailed: thoughts end that never began, so that what was said so far were thoughts.
        """
        return self._said(self._answer(self._tag + _clean(piece)))

    def close(self) -> str:
        """What still waited. Thoughts that never ended are dropped."""
        rest, self._tag = self._tag, ""
        said = self._said("" if self._thinking else rest)
        if self._opening and not self.refused:
            said, self._opening = said + self._let_through(self._opening), None
        self._spaces = ""
        return said

    def _answer(self, text: str) -> str:
        self._tag = ""
        said = ""
        while True:
            tag = (_CLOSING if self._thinking else _ANY).search(text)
            if tag is None:
                begun = _begun(text)
                self._tag = text[begun:]
                return said if self._thinking else said + text[:begun]
            if not self._thinking:
                said += text[: tag.start()]
            text = text[tag.end() :]
            self.thought = True
            if not self._thinking and not _OPENING.fullmatch(tag.group()):
                # Templates may open the thoughts in the prompt, and models may close them without having any.
                if (self.text + (self._opening or "") + said).strip():
                    raise StepFailed(
                        "the model's thoughts came as part of its answer",
                        why=f"{tag.group()} without a beginning",
                        hint="let the server keep them apart (llama.cpp: --reasoning-format deepseek, vLLM: "
                        "--reasoning-parser), or choose a model that does not think",
                    )
                said = ""
                continue
            self._thinking = not self._thinking

    def _said(self, text: str) -> str:
        if self.refused:
            return ""
        if self._opening is None:
            return self._let_through(text)
        self._opening += text
        bare = _past_tag(self._opening).lstrip(_WRAPPING)
        if bare.startswith(NO_ANSWER):
            self.refused = True
            return ""
        if NO_ANSWER.startswith(bare):
            return ""
        held, self._opening = self._opening, None
        return self._let_through(held)

    def _let_through(self, text: str) -> str:
        """Without the white space around the whole answer."""
        text = self._spaces + text if self.text else text.lstrip()
        said = text.rstrip()
        self._spaces = text[len(said) :]
        self.text += said
        return said


def _past_tag(opening: str) -> str:
    """Without the tag of an emotion that it begins with, or may yet begin with."""
    tag = _TAG.match(opening)
    if tag is None or (tag[2] and emotions.named(tag[1]) is None) or not (tag[2] or tag.end() == len(opening)):
        return opening
    return opening[tag.end() :]


def _begun(text: str) -> int:
    """Where a tag begins that the text to come may complete; the text's length if none does."""
    at = text.rfind("<")
    return at if at >= 0 and any(tag.startswith(text[at:].lower()) for tag in _TAGS) else len(text)


def _clean(text: str) -> str:
    """Without control characters and half surrogates, which a server's JSON may hold and no text file may."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs", "Co", "Cn"))
