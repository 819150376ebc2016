"""Weights and demo portraits: a catalog with digests and licences, and how they are fetched and verified."""

from avatarctl.models.catalog import CATALOG, groups, model, resolve, short
from avatarctl.models.entry import HttpsSource, Licence, Model, WheelSource
from avatarctl.models.fetch import (
    Progress,
    Pulled,
    State,
    bytes_here,
    installed,
    path,
    pull,
    remove,
    unfinished,
    verify,
)
from avatarctl.models.records import accept, digests, forget, to_accept, trust

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
    "bytes_here",
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
    "trust",
    "unfinished",
    "verify",
]
