"""`make torture`: does to batches what nights do to them, and prints a Markdown table with the machine's name.

Everything is done to real processes (`python -m avatarctl batch run`) with homes of their own, films of a second, and
chance that is seeded. The exit code is 1 if anything did not hold. `PART=quick` tries a little of everything in some
minutes; the name of a part tries that part alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "bench")]

import machine  # noqa: E402

from tests.torture import clock, damage, disk, kills, rays, signals, sizes, workers, workshop  # noqa: E402
from tests.torture.workshop import Row, Workshop  # noqa: E402

PARTS: dict[str, Callable[[Workshop], list[Row]]] = {
    "kills": kills.kills,
    "eight": kills.eight,
    "signals": signals.signals,
    "disk": disk.disk,
    "damage": damage.damage,
    "clock": clock.clock,
    "workers": workers.workers,
    "ray": rays.rays,
    "plans": sizes.plans,
    "throughput": sizes.throughput,
    "ledger": sizes.ledger_of_steps,
}


def main() -> int:
    """Torture, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "quick"], help="all if none is named")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (default 1)")
    options = parser.parse_args()
    disk.enter_namespace([sys.executable, *sys.argv])
    chosen = [name for name in options.parts if name != "quick"] or list(PARTS)
    print("\n".join(f"- {line}" for line in machine.describe()) + "\n", flush=True)
    rows: list[Row] = []
    with workshop.temporary() as folder:
        shop = Workshop.make(Path(folder), options.seed, "quick" in options.parts)
        for name in chosen:
            print(f"torture: {name}", file=sys.stderr, flush=True)
            began = time.monotonic()
            rows += PARTS[name](shop)
            print(f"torture: {name} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print("| what | measured | has to be | |\n|---|---|---|---|")
    for row in rows:
        verdict = {True: "holds", False: "DOES NOT HOLD", None: ""}[row.holds]
        print(f"| {row.what} | {row.measured} | {row.wanted} | {verdict} |")
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
