"""Which setting is tried next, when the search ends, and what is said to be found: tables, no hosts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from loadproof.plan import calibration, experiment, limiters
from loadproof.plan.calibration import MOST_TRIALS, SEARCHES, Found, Measured, Scale, Try

WHOLE = Scale(1, 100, 1)
FINE = Scale(1, 10_000, 0.01)


def seen(*pairs: tuple[float, float]) -> tuple[Measured, ...]:
    return tuple(Measured(*pair) for pair in pairs)


@pytest.mark.parametrize(
    ("asked", "pairs", "following"),
    [
        (5, [], 5),  # begins with what was asked
        (5, [(5, 5.2)], None),  # met: nothing is nearer, for all the noise
        (5, [(5, 6.7)], 3),  # as far down as it is too high
        (5, [(5, 5.4)], 4),  # at least a step
        (5, [(5, 6.7), (3, 4.35)], 4),  # between
        (5, [(5, 6.7), (3, 4.35), (4, 5.6)], None),  # the two around the asked share are measured
        (5, [(5, 4.1)], 6),
        (5, [(5, 4.1), (6, 5.6)], None),
        (5, [(5, 5.4), (4, 4.6)], None),
        (5, [(4, 5.5), (5, 4.5)], None),  # crossed: the noise is larger than a step
        (5, [(5, 6.7), (3, 5.4)], 2),  # still too high
        (
            5,
            [(5, 6.7), (3, 5.4), (2, 5.7)],
            4,
        ),  # lower gave more: what was left out beside the nearest, and no further
        (5, [(5, 6.7), (3, 5.4), (2, 5.7), (4, 5.9)], None),
        (5, [(5, 6.7), (4, 5.6), (3, 5.6)], None),
        (1, [(1, 10.3)], None),  # there is nothing below 1
        (2, [(2, 10.5)], 1),
        (100, [(100, 60.0)], None),  # nor above 100: the host has no more to give
        (98, [(98, 60.0)], 100),
        (30, [(30, 42.0)], 18),
        (30, [(30, 42.0), (18, 20.0)], 23),  # where the line between them crosses
        (30, [(30, 30.6), (20, 29.5)], 25),
        (30, [(22, 29.5), (21, 29.0)], 23),
        (30, [(29, 32.0), (27, 20.0)], 28),
        (5, [(5, 6.7), (5, 3.3)], None),  # their mean is what counts
    ],
)
def test_the_next_whole_setting(
    asked: float, pairs: list[tuple[float, float]], following: float | None
) -> None:
    assert calibration.search(asked, seen(*pairs), WHOLE) == following


@pytest.mark.parametrize(
    ("asked", "pairs", "following"),
    [
        (5, [(5, 4.93)], None),
        (5, [(5, 4.8)], 5.2),
        (5, [(5, 4.8), (5.2, 4.97)], None),
        (5, [(5, 4.8), (5.4, 5.3)], 5.16),
        (150, [(150, 148.0)], 152.0),
        (1, [(1, 1.4)], None),
    ],
)
def test_the_next_fine_setting(
    asked: float, pairs: list[tuple[float, float]], following: float | None
) -> None:
    assert calibration.search(asked, seen(*pairs), FINE) == following


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([], None),
        ([(5, 6.7)], Found(5, 6.7, None)),
        ([(5, 6.7), (3, 4.35), (4, 5.6)], Found(4, 5.6, None)),
        ([(5, 6.7), (3, 4.35), (4, 5.6), (4, 5.0)], Found(4, 5.3, 0.3)),
        ([(4, 5.6), (3, 4.6), (4, 6.6)], Found(3, 4.6, 0.5)),  # a repeat may show another one to be nearer
        ([(4, 5.5), (3, 4.5)], Found(3, 4.5, None)),  # equally near: the lower one
    ],
)
def test_what_was_found(pairs: list[tuple[float, float]], found: Found | None) -> None:
    got = calibration.found(5, seen(*pairs))
    if found is None or got is None:
        assert got is found
        return
    assert (got.setting, got.share) == (found.setting, pytest.approx(found.share))
    assert got.error == (None if found.error is None else pytest.approx(found.error))


def walk(app: Callable[[str, float], float], asked: float = 5, scale: Scale = WHOLE) -> list[Try]:
    """A whole calibration of two servers."""
    got: dict[str, tuple[Measured, ...]] = {"app1": (), "app2": ()}
    tries: list[Try] = []
    while tried := calibration.following(asked, got, len(tries), scale):
        tries.append(tried)
        for host, setting in tried.settings:
            got[host] += seen((setting, app(host, setting)))
    return tries


def test_each_server_has_its_own_and_the_last_trial_repeats_what_was_found() -> None:
    tries = walk(lambda host, setting: setting + (1.6 if host == "app1" else 0.1))
    assert [dict(one.settings) for one in tries] == [
        {"app1": 5, "app2": 5},
        {"app1": 3, "app2": 5},  # app2 is found: it repeats while app1 is searched
        {"app1": 4, "app2": 5},
        {"app1": 3, "app2": 5},
    ]
    assert [one.repeat for one in tries] == [False, False, False, True]


def test_two_trials_are_the_least() -> None:
    assert [one.repeat for one in walk(lambda host, setting: setting)] == [False, True]


def test_it_always_ends_and_repeats_whatever_the_noise() -> None:
    rng = random.Random(3)
    for _ in range(300):
        asked = rng.randint(1, 100)
        tries = walk(lambda host, setting: max(0.1, setting + rng.gauss(1.5, 2)), asked)
        assert 2 <= len(tries) <= MOST_TRIALS
        assert all(
            setting == int(setting) and 1 <= setting <= 100 for one in tries for _, setting in one.settings
        )
        assert sum(not one.repeat for one in tries) <= SEARCHES


def test_a_server_that_could_not_be_measured_is_tried_again_and_not_for_ever() -> None:
    got = {"app1": seen((5, 6.7)), "app2": ()}
    tries = [calibration.following(5, got, trials, WHOLE) for trials in range(1, MOST_TRIALS)]
    assert tries == [Try((("app1", 3), ("app2", 5)), repeat=False), None, None, None]


def test_full_load() -> None:
    asked = experiment.from_flags({"vusers": "100", "think": "150ms", "interval": "5s"}).arms[0].load
    load = calibration.load(asked, 2, 5)
    assert (load.processes, load.threads, load.users, load.table) == (3, 266, 798, ((0.0, 798),))
    assert (load.think_s, load.ramp_end_s, load.settle_s, load.hold_s, load.end_s) == (0, 0, 4, 15, 19)
    assert calibration.load(asked, 2, 30).users == 2400  # higher rates differ by more requests
    assert calibration.load(asked, 20, 50).users == 4095  # never more than nginx is set up for
    assert (
        calibration.load(replace(asked, processes=512, threads=1), 1, 5).users == 512
    )  # never no user at all


@pytest.mark.parametrize(
    ("number", "repeat", "said", "words"),
    [
        (1, False, {"app1": "-l 5", "app2": "-l 5"}, "calibration 01: -l 5"),
        (2, False, {"app1": "-l 4", "app2": "-l 3"}, "calibration 02: app1 -l 4, app2 -l 3"),
        (3, True, {"app1": "-l 4"}, "calibration 03: -l 4 again (repeat error)"),
    ],
)
def test_why_a_calibration_trial_is_run(number: int, repeat: bool, said: dict[str, str], words: str) -> None:
    assert calibration.because(number, Try((), repeat), said) == words


@pytest.mark.parametrize("name", limiters.names())
def test_every_limiter_says_what_it_can_be_set_to(name: str) -> None:
    limiter = limiters.load(name)
    assert limiter.said(5.0) == {"cpulimit": "-l 5", "quota": "CPUQuota=5%", "none": "no limit"}.get(
        name, limiter.said(5.0)
    )
    if limiter.scale is not None:
        settings = [limiter.scale.snap(one) for one in (0.0, 1.234567, 5.5, 99.999)]
        assert all(limiter.problems(setting, 0) == [] for setting in settings)
        assert limiter.trial_settings(settings[1], "u")["percent"] == settings[1]
