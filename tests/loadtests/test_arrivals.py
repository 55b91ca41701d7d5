"""Arrivals of an open load: pure moments, the same for who plans them, who drives them and who counts them."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from loadtests import autostop
from loadtests.profiles import arrivals
from loadtests.profiles.arrivals import BEGIN_S, Share


def shares(rate: float, workers: int, end_s: float, begin_s: float = BEGIN_S) -> list[Share]:
    return [
        Share(rate, index, workers, end_s, arrivals.seed(1, "01", index + 1), begin_s)
        for index in range(workers)
    ]


@pytest.mark.parametrize("name", arrivals.names())
@pytest.mark.parametrize("workers", [1, 3, 10])
def test_every_way_keeps_the_rate(name: str, workers: int) -> None:
    """The contract of the folder: words for it, and rising moments of [begin, end) that are the same each time."""
    module = arrivals.find(name)
    assert (module.__doc__ or "").strip() and module.SAID
    parts = [list(arrivals.times(name, share)) for share in shares(200.0, workers, 101.0)]
    assert parts == [list(arrivals.times(name, share)) for share in shares(200.0, workers, 101.0)]
    for part in parts:
        assert all(a < b for a, b in itertools.pairwise(part))
        assert part[0] >= BEGIN_S and part[-1] < 101.0
    # the standard deviation of a Poisson count of 20,000 is 141
    assert sum(map(len, parts)) == pytest.approx(20_000, abs=500)


@pytest.mark.parametrize("workers", [1, 3, 10])
def test_even_arrivals_of_all_workers_are_evenly_spaced(workers: int) -> None:
    parts = [arrivals.times("even", share) for share in shares(50.0, workers, 11.0)]
    moments = sorted(itertools.chain(*parts))
    assert moments == pytest.approx([1 + number / 50 for number in range(500)])


@pytest.mark.parametrize("workers", [1, 4])
def test_poisson_gaps_of_all_workers_are_exponential(workers: int) -> None:
    parts = [arrivals.times("poisson", share) for share in shares(100.0, workers, 1001.0)]
    moments = sorted(itertools.chain(*parts))
    gaps = sorted(b - a for a, b in itertools.pairwise(moments))
    count = len(gaps)
    assert sum(gaps) / count == pytest.approx(0.01, rel=0.02)
    for share in (0.5, 0.9, 0.99):  # the quantiles of an exponential of mean 10 ms
        assert gaps[int(share * count)] == pytest.approx(
            {0.5: 6.931, 0.9: 23.03, 0.99: 46.05}[share] / 1000, rel=0.03
        )
    seconds = [0] * 1001
    for at in moments:
        seconds[int(at)] += 1
    mean = sum(seconds[1:]) / 1000
    assert sum((one - mean) ** 2 for one in seconds[1:]) / 1000 == pytest.approx(mean, rel=0.12)


def test_workers_and_trials_have_arrivals_of_their_own() -> None:
    seeds = [arrivals.seed(1, trial, worker) for trial in ("01", "02") for worker in (1, 2)]
    firsts = {next(arrivals.times("poisson", Share(10.0, 0, 1, 9.0, seed))) for seed in seeds}
    assert len(firsts) == 4


def test_unknown_arrivals() -> None:
    with pytest.raises(KeyError, match="there are: even, poisson"):
        arrivals.find("evn")


def test_arrivals_need_nothing_installed() -> None:
    code = "import sys; from loadtests.profiles.arrivals import find; find('even'); assert 'gevent' not in sys.modules"
    subprocess.run([sys.executable, "-S", "-c", code], check=True)


@pytest.mark.parametrize(
    ("failing", "second"),
    [
        (lambda at: at >= 1, 11),  # from the beginning: above half at the first look, and 10 s later
        (lambda at: at >= 5, 19),  # 4 good seconds: of 9 so far more than half failed
        (lambda at: False, None),
        (lambda at: at % 2 == 0, None),  # never more than half of all
    ],
)
def test_ngrinders_rule_on_totals(failing: object, second: int | None) -> None:
    rule, requests, failures, ended = autostop.NGrinder(), 0, 0, None
    for at in range(1, 60):
        requests += 10
        failures += 10 if failing(at) else 0  # type: ignore[operator]
        if rule.ends(at, requests, failures):
            ended = at
            break
    assert ended == second


def test_a_recovery_before_the_ten_seconds_are_over_starts_them_again() -> None:
    rule = autostop.NGrinder()
    totals = [(10, 10)] * 8 + [(30, 10)] + [(100, 60)] * 20
    assert [at for at, (all_, bad) in enumerate(totals) if rule.ends(at, all_, bad)][0] == 9 + 10
