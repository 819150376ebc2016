"""avatarctl: a question becomes a film of a person answering it, on your own machine."""

__version__ = "0.1.0"
