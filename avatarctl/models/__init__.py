"""Weights and demo portraits: a catalog with digests and licences, and how they are fetched and verified."""

from avatarctl.models.catalog import CATALOG, groups, model, resolve, short
from avatarctl.models.entry import HttpsSource, Licence, Model, WheelSource
from avatarctl.models.fetch import Progress, Pulled, State, installed, path, pull, remove, unfinished, verify
from avatarctl.models.records import accept, digests, forget, to_accept

__all__ = [
    "CATALOG",
    "HttpsSource",
    "Licence",
    "Model",
    "Progress",
    "Pulled",
    "State",
    "WheelSource",
    "accept",
    "digests",
    "forget",
    "groups",
    "installed",
    "model",
    "path",
    "pull",
    "remove",
    "resolve",
    "short",
    "to_accept",
    "unfinished",
    "verify",
]
