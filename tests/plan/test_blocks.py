"""Which arm is run when, and on which servers."""

from __future__ import annotations

from collections import Counter

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


def test_a_smaller_arm_takes_its_servers_in_turn() -> None:
    assert [blocks.serving(APPS, 1, block, 2) for block in range(1, 8)] == [
        ("a",), ("a",), ("b",), ("b",), ("c",), ("c",), ("a",),
    ]  # fmt: skip
    assert [blocks.serving(APPS, 2, block, 1) for block in range(1, 4)] == [
        ("a", "b"),
        ("b", "c"),
        ("a", "c"),
    ]
    assert blocks.serving(APPS, 3, 5, 2) == blocks.serving(APPS, 0, 5, 2) == APPS


def test_neither_a_host_nor_an_order_always_meets_the_same_one() -> None:
    """2 arms on 2 hosts in 4 blocks: each host serves the small arm once when it is first and once when it is last."""
    for seed in range(20):
        seen = {
            (order.index(0), blocks.serving(("a", "b"), 1, block, 2))
            for block, order in enumerate(blocks.orders(2, 4, seed), start=1)
        }
        assert len(seen) == 4
