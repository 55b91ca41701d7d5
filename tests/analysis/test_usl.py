"""The scalability law against known answers: its own curve, simulated noise, and fits that others published."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis import usl

LEVELS = np.array([1.0, 4, 8, 16, 24, 32, 48, 64, 80, 96])
TRUE = (20.0, 0.06, 0.0005)  # reaches 194.44 at 43.36
# Sun SPARCcenter 2000 in SPEC SDM 91, and a ray tracer: data sets of the R package usl (3.0) and what its documentation
# gives for them, alpha, beta and gamma being sigma, kappa and lambda here, all three fitted
SPECSDM91 = ((1, 18, 36, 72, 108, 144, 216), (64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2))
RAYTRACER = ((1, 4, 8, 12, 16, 20, 24, 28, 32, 48, 64), (20, 78, 130, 170, 190, 200, 210, 230, 260, 280, 310))


def top(law: usl.Law) -> float:
    assert law.sigma is not None and law.kappa is not None
    return math.sqrt((1 - law.sigma) / law.kappa)


def test_its_own_curve_is_fitted_exactly() -> None:
    found = usl.law(LEVELS, usl.throughput(LEVELS, *TRUE))
    assert (found.scale, found.sigma, found.kappa) == (
        pytest.approx(20),
        pytest.approx(0.06),
        pytest.approx(0.0005),
    )
    assert found.peak == (pytest.approx(43.36, abs=0.005), pytest.approx(194.44, abs=0.005))
    assert found.answer == "peak of 194.4 TPS at 43.36 in flight"


def test_noise_of_three_percent() -> None:
    """The ranges are those of reference simulations (N = 1 to 96): Nmax 39.7 to 48.5, sigma 0.049 to 0.072."""
    chance = np.random.default_rng(7)
    tops, sigmas, shown, peaks = [], [], 0, 0
    for _ in range(100):
        found = usl.law(
            LEVELS, usl.throughput(LEVELS, *TRUE) * (1 + 0.03 * chance.standard_normal(len(LEVELS)))
        )
        shown += not found.why
        peaks += found.peak is not None
        if not found.why:
            tops.append(top(found))
            sigmas.append(found.sigma)
    assert shown >= 90 and peaks >= 75
    assert 39 < np.percentile(tops, 5) < 43.36 < np.percentile(tops, 95) < 49
    assert 0.045 < np.percentile(sigmas, 5) < 0.06 < np.percentile(sigmas, 95) < 0.075


def test_the_published_fit_of_specsdm91() -> None:
    found = usl.law(*SPECSDM91)
    assert found.sigma == pytest.approx(0.0277285, rel=1e-4)
    assert found.kappa == pytest.approx(0.0001044, abs=5e-8)
    assert found.scale == pytest.approx(89.995, rel=1e-4)
    assert found.spread == pytest.approx(82.85, abs=0.005)
    assert found.peak is not None and found.peak[0] == pytest.approx(96.52, abs=0.005)


def test_the_published_fit_of_raytracer_and_that_its_residuals_run_one_way() -> None:
    count, tps = (np.array(one, float) for one in RAYTRACER)
    scale, sigma, kappa = usl.fit(count, tps)
    assert (sigma, scale) == (pytest.approx(0.0578, abs=5e-5), pytest.approx(21.8488, abs=5e-5))
    assert kappa == pytest.approx(0, abs=1e-9)
    found = usl.law(count, tps)
    assert found.answer == "not shown: its residuals run one way: it is not the law of these levels"
    assert (found.scale, found.sigma, found.kappa, found.peak) == (None, None, None, None)


def test_no_peak_where_throughput_never_falls() -> None:
    chance = np.random.default_rng(11)
    peaks = 0
    for index in range(60):
        noise = 1 + 0.02 * chance.standard_normal(len(LEVELS))
        flat = np.minimum(10 * LEVELS, 300.0) if index % 2 else usl.throughput(LEVELS, 20, 0.06, 0)
        peaks += usl.law(LEVELS, flat * noise).peak is not None
    assert peaks <= 5
    below = usl.law(LEVELS[:6], usl.throughput(LEVELS[:6], *TRUE))  # fitted exactly, and only below its peak
    assert below.kappa == pytest.approx(0.0005) and below.peak is None and below.answer == "peak not observed"


@pytest.mark.parametrize(
    ("count", "tps", "why"),
    [
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], "5 of at least 6 levels"),
        ([3, 3.1, 3.2, 3.3, 3.4, 3.5], [1, 2, 3, 4, 5, 6], "too narrow a range"),
        ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], "too narrow a range"),
        ([], [], "0 of at least 6 levels"),
    ],
)
def test_levels_that_no_law_is_fitted_to(count: list[float], tps: list[float], why: str) -> None:
    found = usl.law(count, tps)
    assert found.why.startswith(why) and found.scale is None and found.answer.startswith("not shown: ")
