"""How a person says words: the dictionary of the settings (`speak.dictionary`), and over it the person's own."""

from __future__ import annotations

from pathlib import Path

from avatarctl.files import readable_file
from avatarctl.runtime.handles import Ref
from avatarctl.runtime.runner import Run
from avatarctl.stages.catalog import DICTIONARY
from avatarctl.store import dictionaries
from avatarctl.store.model import AvatarRecord
from avatarctl.store.store import Store
from avatarctl.text import dictionary
from avatarctl.text.dictionary import Dictionary


def of(run: Run, avatar: AvatarRecord) -> Dictionary:
    """All entries that hold for a person; their own win.

    Raises:
        BadInput: a file that is not there, or is no dictionary; the line is named.
    """
    choice = run.settings.choice("speak")
    named = str(choice.params.as_dict().get("dictionary", ""))
    everybody = load(Path(named)) if named else Dictionary()
    words = everybody | own(run.store, avatar.name)
    if words.entries and DICTIONARY not in choice.spec.reads:
        run.note(f"warning: the voice {choice.spec.name} takes no dictionary")
    return words


def own(store: Store, name: str) -> Dictionary:
    """A person's own entries."""
    what = f"the dictionary of {name}"
    return dictionary.parse(dictionary.decode(dictionaries.read(store, name), what), what)


def load(path: Path) -> Dictionary:
    """A file of a user's. Raises `BadInput` where it cannot be read or understood."""
    path = path.expanduser()
    file = readable_file(path, dictionary.MAX_BYTES, "dictionary")
    return dictionary.parse(dictionary.decode(file.read_bytes(), str(path)), str(path))


def used(run: Run, words: Dictionary, text: str) -> dict[str, Ref]:
    """The input of a step that speaks a text: the entries that it has, and none without any.

    So a new entry makes only those sentences anew that it changes.
    """
    found = words.of(text)
    return {DICTIONARY: run.text(found.to_text())} if found.entries else {}
