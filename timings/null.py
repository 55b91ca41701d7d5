"""How often a difference is claimed where there is none: recorded trials of A against A, judged as experiments of 4 blocks.

    ./inv experiment null --repeats 30
    python -m timings.null RUN [RUN …] [--times 1000] [--json]

From the blocks of a run (folders, or ids below results/) 4 are drawn, kept in the order in which they were run, and their
trials are named a and b anew, by the balanced orders of plan.blocks; what the product says of these arms is asked of the
product. A false claim is an interval that leaves out 1. Asked: 5 +- 2 % of the primary figure's. Draws share trials: the
rate is less certain than so many independent experiments would make it (one run of 30 simulated blocks gives 1 to 7 %), so
the spread of its trials stands beside it; several runs together say more.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis import compare, joined, results, spread, verdicts
from loadproof.console import variance as show
from loadproof.plan import blocks
from loadproof.runfolder.paths import RunFolder

BLOCKS, TIMES, SEED = 4, 1000, 20261126
LOW, HIGH = 0.03, 0.07
ROOT = Path(__file__).resolve().parent.parent
FIGURES = ("tps", "mtt_ms")

Trial = Mapping[str, Any]


@dataclass(frozen=True)
class Claims:
    """How often, of `times` experiments, the interval of a figure left out 1; and the whole interval was beyond 5 %."""

    figure: str
    times: int
    false: int
    by_much: int

    @property
    def rate(self) -> float:
        """The share of false claims."""
        return self.false / self.times

    @property
    def error(self) -> float:
        """Its standard error, had the experiments been independent."""
        return math.sqrt(max(self.rate * (1 - self.rate), 1 / self.times) / self.times)


def recorded(found: Mapping[str, Any]) -> list[list[Trial]]:
    """The trials of results.json by blocks in which every arm has a VALID one, in the order in which they were run."""
    arms = [joined.counted(arm["trials"]) for arm in found["arms"]]
    valid = [{one["block"]: one for one in arm if one["verdict"] == "VALID"} for arm in arms]
    whole = sorted(set.intersection(*(set(one) for one in valid))) if valid else []
    return [sorted((one[block] for one in valid), key=lambda trial: int(trial["id"])) for block in whole]


def relabelled(drawn: Sequence[Sequence[Trial]], seed: int) -> list[dict[str, Any]]:
    """Arms a and b of these blocks, as results.json has them: which trial of a block is which, the seed decides."""
    orders = blocks.orders(2, len(drawn), seed)
    trials: list[list[dict[str, Any]]] = [[], []]
    for number, (block, order) in enumerate(zip(drawn, orders, strict=True), start=1):
        for trial, arm in zip(block, order, strict=True):
            trials[arm].append({**trial, "block": number})
    return [_arm(label, mine) for label, mine in zip("ab", trials, strict=True)]


def _arm(label: str, trials: list[dict[str, Any]]) -> dict[str, Any]:
    judged = verdicts.joined([(one["id"], one) for one in trials])
    return {"label": label, "factors": {"copy": label}, **judged, **joined.figures(trials), "trials": trials}


def claims(runs: Sequence[Sequence[Sequence[Trial]]], times: int = TIMES, seed: int = SEED) -> list[Claims]:
    """Of each figure, over as many experiments as asked; each is of one run."""
    chance = np.random.default_rng(seed)
    counts = {name: [0, 0] for name in FIGURES}
    for number in range(times):
        listed = runs[number % len(runs)]
        at = np.sort(chance.choice(len(listed), BLOCKS, replace=False))
        above, below = relabelled([listed[one] for one in at], int(chance.integers(2**31)))
        for name, count in counts.items():
            told = compare.one(above, below, name)
            count[0] += told["words"].startswith("different")
            count[1] += told["words"].startswith("different by more")
    return [Claims(name, times, *count) for name, count in counts.items()]


def main(words: argparse.Namespace) -> None:
    """Prints the rates, and where the spread of the trials comes from."""
    base = Path(os.environ.get("LOADPROOF_RESULTS") or ROOT / "results")
    judgements = [results.look(RunFolder.open(base, name)) for name in words.run]
    runs = [recorded(one.results) for one in judgements]
    for judgement, listed in zip(judgements, runs, strict=True):
        arms = len(judgement.results["arms"])
        if arms != 2 or len(listed) < BLOCKS:
            raise SystemExit(
                f"{judgement.folder.id}: {len(listed)} whole blocks of {arms} arms; {BLOCKS} of 2 are needed"
            )
    found, parts = claims(runs, words.times, words.seed), spread.told(judgements)
    if words.json:
        told = [{**vars(one), "rate": one.rate} for one in found]
        print(
            json.dumps(
                {"blocks": [len(one) for one in runs], "seed": words.seed, "claims": told, "spread": parts},
                indent=2,
            )
        )
        return
    print(
        f"{sum(map(len, runs))} blocks of A against A; {words.times} experiments of {BLOCKS} blocks, seed {words.seed}"
    )
    for one in found:
        held = (
            ""
            if one.figure != "tps"
            else ": asked 3 to 7 %, " + ("held" if LOW <= one.rate <= HIGH else "NOT HELD")
        )
        print(
            f"{one.figure}: {one.false} false claims, {100 * one.rate:.1f} % (+- {100 * one.error:.1f} had they been"
            f" independent), {one.by_much} of them by more than 5 %{held}"
        )
    print(f"\n{show.variance(parts)}")


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("run", nargs="+")
    asked.add_argument("--times", type=int, default=TIMES)
    asked.add_argument("--seed", type=int, default=SEED)
    asked.add_argument("--json", action="store_true")
    main(asked.parse_args())
