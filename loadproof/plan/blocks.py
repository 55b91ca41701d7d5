"""When each arm is run, and on which servers: balanced blocks, seeded. Pure, and the same on every machine."""

from __future__ import annotations

import math
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


def turn(orders: Sequence[Sequence[int]], block: int, apps: int) -> int:
    """By how many of `apps` hosts the choice of servers has moved on in block `block` (from 1).

    It moves with who is first, so that within a group of as many blocks as there are arms hosts change; the next group
    goes on from there, and one host further each time that all have served equally often (in blocks that are a multiple
    of both arms and hosts): neither a host nor an order always meets the same one. Of 2 arms on 2 hosts, each host has
    each order once in 4 blocks.
    """
    arms = len(orders[0])
    before = (block - 1) // arms * arms
    return orders[0].index(orders[block - 1][0]) + before + before // math.lcm(arms, apps)


def serving(apps: Sequence[str], count: int, turn: int) -> tuple[str, ...]:
    """Which of the app hosts serve in an arm of `count` servers (0: all), `turn` hosts on. In the order of `apps`."""
    chosen = {apps[(turn + index) % len(apps)] for index in range(count or len(apps))}
    return tuple(name for name in apps if name in chosen)
