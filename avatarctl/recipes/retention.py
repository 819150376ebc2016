"""What a batch leaves behind in the cache, held within the limits of the settings."""

from __future__ import annotations

from avatarctl.errors import Busy
from avatarctl.store import gc
from avatarctl.store.store import Store
from avatarctl.tables import Retention

WAIT_SECONDS = 5.0


def hold(store: Store, limits: Retention) -> gc.GcPlan | None:
    """Collect what is beyond the limits, beside whatever else is at work: what was removed.

    None where nothing limits the cache, or it was too busy: then the next batch does it, or `avatarctl cache gc`.
    Films that were delivered are not in the cache, and stay.
    """
    if limits == Retention():
        return None
    try:
        return gc.apply(store, gc.plan(store, limits.max_bytes, limits.days), timeout=WAIT_SECONDS)
    except Busy:
        return None
