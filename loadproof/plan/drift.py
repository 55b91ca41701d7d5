"""What hosts are asked before and after a load, so that what somebody changed in between shows."""

from __future__ import annotations

from typing import Any

from loadproof.plan import places
from loadproof.plan.actions import units
from loadproof.plan.desired import OF_ROLES, OUT_UNIT
from loadproof.plan.values import STATUS_PORT, Inventory, TrialPlan


def question(trial: TrialPlan, inventory: Inventory, host: str) -> dict[str, Any]:
    """The question to facts.py of one host: the hashes of all that was deployed there, and what the app and nginx that
    run say of themselves. It needs no desired state: whoever comes back to a load may have another one."""
    unit_files = {path for path in OF_ROLES if path.startswith(places.UNITS)}
    own = (f"{places.UNITS}/{name}" for name in (OUT_UNIT, places.SAMPLE_UNIT))
    port = [{"port": inventory.host(host).port("app")}] if host in trial.apps else []
    return {
        "programs": ["nginx", "cpulimit"],
        "disk": ["/opt", "/var/lib"],
        "units": list(units(trial, host)),
        "files": [f"{places.ETC}/*", f"{places.HOSTSIDE}/*", *sorted(unit_files), *own],
        "trees": [f"{places.TREES}/*"],
        "health": port,
        "config": [{"port": STATUS_PORT}] if host == trial.proxy else [],
    }
