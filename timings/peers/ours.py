"""Our deploy, timed inside the command: from reading the inventory to the last host's answer.

python timings/peers/ours.py INVENTORY
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from loadproof.control import apply, inventory, probe  # noqa: E402
from loadproof.control.fleet import Fleet  # noqa: E402
from loadproof.plan import desired  # noqa: E402


def deploy(path: Path) -> int:
    """One deploy; the number of hosts that changed. Raises the first host's error."""
    hosts = inventory.read(path)
    with Fleet(hosts) as fleet:
        platforms = probe.platforms(fleet, hosts, ROOT)
        wanted = desired.desired(hosts, len(hosts.group("app")), "plain", 10_000, 1, platforms, ROOT)
        outcomes = apply.converge(fleet, wanted, root=ROOT)
    for outcome in outcomes.values():
        if outcome.problem is not None:
            raise outcome.problem
    return sum(outcome.status == "changed" for outcome in outcomes.values())


if __name__ == "__main__":
    begun = time.monotonic()
    changed = deploy(Path(sys.argv[1]))
    print(f"{time.monotonic() - begun:.3f} {changed}")
