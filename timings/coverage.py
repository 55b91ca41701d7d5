"""Whether intervals hold what they promise: simulated experiments whose true ratio is known, judged by the product's own
functions.

    python -m timings.coverage [--simulations 10000]

Trials have log-normal noise of 12 % (raw cpulimit, measured), beside it a drift of the hosts (1 % a trial) or noise that
carries over from trial to trial (AR(1), 0.6), and are run in the order that plan.blocks gives. Asked: a 95 % interval holds
the true ratio in at least 93 % everywhere, at most 97 % without drift; of 20 comparisons of nothing with nothing at least
one is called different in at most 5.7 % of experiments.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from analysis.statistics import CONFIDENCE, Ratio, paired, shared_out
from loadproof.plan import blocks

NOISE, DRIFT, CARRIED, TRUE = 0.12, 0.01, 0.6, 2.0
PAIRS = (3, 5, 10, 20)
SEED = 20261126
FAMILY = 20


def noise(chance: np.random.Generator, trials: int, carried: float) -> NDArray[np.float64]:
    """Noise of trials in the order in which they are run, shape (trials,), sd NOISE."""
    fresh = chance.normal(0, NOISE, trials)
    if not carried:
        return fresh
    made = np.empty(trials)
    made[0] = fresh[0]
    for index in range(1, trials):
        made[index] = carried * made[index - 1] + np.sqrt(1 - carried**2) * fresh[index]
    return made


def once(
    chance: np.random.Generator, pairs: int, true: float, drift: float, carried: float, confidence: float
) -> Ratio:
    """One experiment of two arms: its answer."""
    order = blocks.orders(2, pairs, int(chance.integers(2**31)))
    logs = noise(chance, 2 * pairs, carried) + drift * np.arange(2 * pairs)
    values = np.empty((2, pairs))
    for block, arms in enumerate(order):
        for place, arm in enumerate(arms):
            values[arm, block] = np.exp(logs[2 * block + place]) * (true if arm else 1.0)
    return paired(values[1], values[0], confidence)


def covers(found: Ratio, true: float) -> bool:
    """Whether the interval holds the true ratio."""
    return found.low is not None and found.high is not None and found.low <= true <= found.high


def main(simulations: int) -> None:
    """Prints one line per number of pairs, and one for the family."""
    chance = np.random.default_rng(SEED)
    print(f"{simulations} simulated experiments each, seed {SEED}, noise {100 * NOISE:g} % per trial")
    for pairs in PAIRS:
        shown = []
        for name, drift, carried in (
            ("none", 0, 0),
            ("drift", DRIFT, 0),
            ("carried", 0, CARRIED),
            ("both", DRIFT, CARRIED),
        ):
            hits = sum(
                covers(once(chance, pairs, TRUE, drift, carried, CONFIDENCE), TRUE)
                for _ in range(simulations)
            )
            shown.append(f"{name} {100 * hits / simulations:.1f} %")
        print(f"{pairs:>3} pairs: covered: {', '.join(shown)}")
    apart, level = 0, shared_out(CONFIDENCE, FAMILY)
    for _ in range(simulations):
        apart += any(not covers(once(chance, 5, 1.0, 0, 0, level), 1.0) for _ in range(FAMILY))
    print(
        f"{FAMILY} comparisons of nothing, 5 pairs each: at least one called different in {100 * apart / simulations:.2f} %"
    )
    print("asked: at least 93 % everywhere, at most 97 % without drift; at most 5.7 % of families")


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--simulations", type=int, default=10_000)
    main(words.parse_args().simulations)
