"""Which arm is run when, and on which servers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest

from loadproof.plan import blocks

APPS = ("a", "b", "c")


@pytest.mark.parametrize("arms", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("seed", range(5))
def test_every_arm_has_every_place_equally_often(arms: int, seed: int) -> None:
    made = blocks.orders(arms, 2 * arms, seed)
    assert len(made) == 2 * arms and all(sorted(one) == list(range(arms)) for one in made)
    for group in (made[:arms], made[arms:]):
        for place in range(arms):
            assert sorted(one[place] for one in group) == list(range(arms))


def test_two_arms_begin_in_turn_and_chance_says_which() -> None:
    made = [blocks.orders(2, 4, seed) for seed in range(40)]
    assert all(one[0] == one[1][::-1] and one[2] == one[3][::-1] for one in made)
    assert {one[0] for one in made} == {(0, 1), (1, 0)}
    assert {one[:3] for one in made} > {((0, 1), (1, 0), (0, 1)), ((0, 1), (1, 0), (1, 0))}


def test_no_arm_always_follows_the_same_one() -> None:
    before = Counter(pair for one in blocks.orders(3, 6, 1) for pair in zip(one, one[1:], strict=False))
    assert len(before) == 6 and set(before.values()) == {2}


def test_the_seed_decides_and_the_number_of_blocks_does_not() -> None:
    assert blocks.orders(3, 9, 7) == blocks.orders(3, 9, 7)
    assert blocks.orders(3, 4, 7) == blocks.orders(3, 9, 7)[:4]
    assert blocks.balanced(2, 4) and not blocks.balanced(2, 3)


def hosts(arms: int, servers: int, names: Sequence[str], count: int, seed: int) -> list[tuple[str, ...]]:
    """Who serves an arm of so many servers, block by block."""
    orders = blocks.orders(arms, count, seed)
    turns = [blocks.turn(orders, block, len(names)) for block in range(1, count + 1)]
    return [blocks.serving(names, servers, turn) for turn in turns]


def test_a_smaller_arm_takes_its_servers_in_turn() -> None:
    assert hosts(1, 1, APPS, 5, 0) == [("a",), ("b",), ("c",), ("b",), ("c",)]
    assert hosts(1, 2, APPS, 3, 0) == [("a", "b"), ("b", "c"), ("a", "c")]
    assert set(hosts(2, 3, APPS, 5, 0)) == set(hosts(2, 0, APPS, 5, 0)) == {APPS}


@pytest.mark.parametrize("arms", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("names", ["a", "ab", "abc", "abcd"])
def test_every_host_serves_a_small_arm_equally_often_and_in_each_order(arms: int, names: str) -> None:
    both = math.lcm(arms, len(names))
    for seed in range(10):
        for times in (1, 2, 3):
            made = hosts(arms, 1, names, times * both, seed)
            assert made[0] == ("a",)
            assert set(Counter(made).values()) == {times * both // len(names)} and len(set(made)) == len(
                names
            )
        count = both * len(names)
        first = [order[0] for order in blocks.orders(arms, count, seed)]
        assert len(set(zip(first, hosts(arms, 1, names, count, seed), strict=True))) == arms * len(names)


def test_neither_a_host_nor_an_order_always_meets_the_same_one() -> None:
    """2 arms on 2 hosts in 4 blocks: each host serves the small arm once when it is first and once when it is last."""
    for seed in range(20):
        orders = blocks.orders(2, 4, seed)
        seen = {
            (order.index(0), *host) for order, host in zip(orders, hosts(2, 1, "ab", 4, seed), strict=True)
        }
        assert len(seen) == 4


def test_each_arm_has_each_place_on_each_host() -> None:
    """4 arms on 2 hosts in 8 blocks."""
    for seed in range(20):
        orders, made = blocks.orders(4, 8, seed), hosts(4, 1, "ab", 8, seed)
        for arm in range(4):
            seen = Counter((order.index(arm), *host) for order, host in zip(orders, made, strict=True))
            assert set(seen.values()) == {1} and len(seen) == 8
