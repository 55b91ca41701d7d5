"""When each arm is run, and on which servers: balanced blocks, seeded. Pure, and the same on every machine."""

from __future__ import annotations

import random
from collections.abc import Sequence


def orders(arms: int, blocks: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """The order of the arms in each block, shape (blocks, arms).

    Of as many blocks as there are arms, each arm has every place once (the rows of a Latin square, in an order drawn by
    chance), so that a drift of the hosts speaks for no arm; from one such group to the next the order turns round, so
    that no arm always comes after the same other one. Two arms are run AB BA, or BA AB.
    """
    chance = random.Random(seed)
    line = list(range(arms))
    chance.shuffle(line)
    made: list[tuple[int, ...]] = []
    while len(made) < blocks:
        rows = [tuple(line[at:] + line[:at]) for at in range(arms)]
        chance.shuffle(rows)
        made += rows
        line.reverse()
    return tuple(made[:blocks])


def balanced(arms: int, blocks: int) -> bool:
    """Whether every arm has every place equally often."""
    return blocks % arms == 0


def serving(apps: Sequence[str], count: int, block: int, arms: int) -> tuple[str, ...]:
    """Which of the app hosts serve in an arm of `count` servers (0: all), in block `block` (from 1): the next ones with
    each group of `arms` blocks, so that neither a host nor an order always meets the same one. In the order of `apps`."""
    count = count or len(apps)
    first = (block - 1) // arms
    chosen = {apps[(first + index) % len(apps)] for index in range(count)}
    return tuple(name for name in apps if name in chosen)
