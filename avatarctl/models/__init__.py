"""Weights and demo portraits: a catalog with digests and licences, and how they are fetched and verified."""

from avatarctl.models.catalog import CATALOG, HttpsSource, Model, WheelSource, digests, groups, model, resolve
from avatarctl.models.fetch import Progress, Pulled, State, installed, path, pull, verify

__all__ = [
    "CATALOG",
    "HttpsSource",
    "Model",
    "Progress",
    "Pulled",
    "State",
    "WheelSource",
    "digests",
    "groups",
    "installed",
    "model",
    "path",
    "pull",
    "resolve",
    "verify",
]
