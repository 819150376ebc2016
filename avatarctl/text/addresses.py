"""Addresses in a text: of mail and of pages. They are read as addresses, and words in them are no words."""

from __future__ import annotations

import re

EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}")
URL = re.compile(
    r"(?:https?://|www\.)[^\s<>«»\"]{1,2000}|(?<![\w@.-])(?:[a-zA-Z0-9-]{1,63}\.){1,6}"
    r"(?:com|org|net|ru|io|dev|edu|gov|info|su|ua|by|kz|de|fr|uk|us|eu|рф)(?:/[^\s<>«»\"]{0,2000})?(?![\w.-]\w)"
)
