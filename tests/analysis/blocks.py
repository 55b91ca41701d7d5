"""An experiment that never happened, of several blocks whose trials are VALID: what reports and answers are tested with."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from loadproof.plan import experiment
from loadproof.plan.values import Inventory, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import RunFolder, TrialPaths
from tests.analysis import synthetic
from tests.analysis.checks import made

HOSTS = tuple(host.name for host in synthetic.HOSTS)


def run(base: Path, blocks: int = 4, spoiled: tuple[str, ...] = (), name: str = "blocks") -> RunFolder:
    """1 server and 2 in turn, AB BA AB …; each trial a little slower than the one before. `spoiled`: ids of trials in
    which an app was not the one deployed, so that they are INVALID."""
    raws = []
    for block in range(1, blocks + 1):
        for servers in (1, 2) if block % 2 else (2, 1):
            number = len(raws) + 1
            plan = synthetic.plan(
                f"20261124T031500Z-{name}", f"{number:02d}", servers, block=block, because=f"block {block}"
            )
            raws.append(synthetic.simulate(plan, 2 * number, 0.06 * (1 + 0.01 * number), 0.002))
    for one in [raw.plan for raw in raws if raw.plan.id in spoiled]:
        again = dataclasses.replace(one, id=f"{len(raws) + 1:02d}", because=f"repeat of {one.id}: drift")
        raws.append(synthetic.simulate(again, 2 * len(raws) + 2, 0.07, 0.002))
    folder = synthetic.write_run(base, raws)
    for raw in raws:
        sound(folder.trial(raw.plan.folder), raw.plan, raw.plan.id in spoiled)
    asked = experiment.named("quick", {"repeats": str(blocks)})
    known = record.read_run(folder)
    arms = tuple(
        dataclasses.replace(arm, load=synthetic.LOAD, label=f"servers={arm.servers}") for arm in asked.arms
    )
    plans = [raw.plan for raw in raws]
    record.write_run(
        folder, dataclasses.replace(asked, arms=arms), Inventory("inventory/made.yml", synthetic.HOSTS), known.provenance,
        ("./inv", "experiment", "quick"), plans,
    )  # fmt: skip
    return folder


def sound(paths: TrialPaths, plan: TrialPlan, spoiled: bool = False) -> None:
    """Adds to a trial what its hosts, its master and its conductor say when everything holds."""
    lines = [json.loads(line) for line in paths.facts.read_text().splitlines()]
    offsets = {line["host"]: line for line in lines}
    written = []
    for when in ("before", "after"):
        for host in HOSTS:
            facts = made.facts(plan, host)
            if spoiled and when == "after" and host == plan.apps[0]:
                facts["health"]["8000"]["deploy_id"] = "another"
            line = offsets.get(
                host, {"offset": {"best_us": synthetic.OFFSETS[host], "half_trip_us": 100, "trips": []}}
            )
            system = {"os": {"PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"}, "kernel": "6.1.0"}
            written.append({"when": when, "host": host, "facts": system | facts, "offset": line["offset"]})
    rates = [{"when": "rate", "host": host, "rate": 2000.0} for host in plan.loads]
    paths.facts.write_text("".join(json.dumps(line) + "\n" for line in (*written, *rates)))
    with Journal(paths.journal) as journal:
        journal.write("drain", "begin")
        journal.write("drain", "end")
    (paths.raw(plan.loads[0]) / "totals-master.json").write_text(json.dumps({"requests": 1, "lost": []}))
    for host in plan.apps:
        (paths.raw(host) / "app.log").write_text("INFO started\n")
    for host in (*plan.loads, plan.proxy, *plan.apps):
        synthetic.seal(paths.raw(host), host, plan)
