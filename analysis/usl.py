"""The Universal Scalability Law, X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)), through throughputs. Pure.

Source: N. J. Gunther, Guerrilla Capacity Planning, Springer 2007, ch. 4 to 6, with lambda as a third parameter. N is the mean
number of requests in flight (or of servers), never that of users: those who think are not in the system, and a fit on users
with think time finds peaks where there are none. Fitted by least squares on X itself, all three parameters at least 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]

LEAST_LEVELS, LEAST_RANGE = 6, 2.0  # levels; the most in flight against the least
SIMULATED, SEED, LEVEL = 1999, 20261126, 0.05
NEGLIGIBLE = 0.005  # residuals below this share of the best throughput may run as they like


@dataclass(frozen=True)
class Law:
    """Parameters of the law; `spread`: standard deviation of the residuals. `peak`: (N, X) of the greatest throughput, only
    where it measurably fell behind it. `why`: what keeps the law from being shown, in words; empty: nothing."""

    levels: int
    scale: float | None = None  # lambda: throughput of one in flight
    sigma: float | None = None
    kappa: float | None = None
    spread: float | None = None
    peak: tuple[float, float] | None = None
    why: str = ""

    @property
    def answer(self) -> str:
        """In words."""
        if self.why:
            return f"not shown: {self.why}"
        if self.peak is None:
            return "peak not observed"
        return f"peak of {self.peak[1]:.4g} TPS at {self.peak[0]:.4g} in flight"


def throughput(count: Floats, scale: float, sigma: float, kappa: float) -> Floats:
    """X(N)."""
    found: Floats = scale * count / (1 + sigma * (count - 1) + kappa * count * (count - 1))
    return found


def law(count: Sequence[float], tps: Sequence[float]) -> Law:
    """The law of levels, each with its N (above 0) and its throughput."""
    order = np.argsort(np.asarray(count, float), kind="stable")
    n, x = np.asarray(count, float)[order], np.asarray(tps, float)[order]
    if (few := len(np.unique(n))) < LEAST_LEVELS:
        return Law(few, why=f"{few} of at least {LEAST_LEVELS} levels")
    if not (n > 0).all() or not (x > 0).any() or n[-1] < LEAST_RANGE * n[0]:
        return Law(few, why="too narrow a range of requests in flight")
    fitted = fit(n, x)
    left = x - throughput(n, *fitted)
    free = len(n) - len(fitted)
    spread = math.sqrt(float(np.square(left).sum()) / free)
    jacobian = _slopes(n, fitted)
    if one_way(left, jacobian, float(x.max())):
        return Law(few, why="its residuals run one way: it is not the law of these levels")
    return Law(few, *fitted, spread, _peak(n, x, fitted, jacobian, spread))


def fit(n: Floats, x: Floats) -> tuple[float, float, float]:
    """lambda, sigma, kappa by least squares, from several places to begin: the best end counts."""
    from scipy.optimize import least_squares  # takes a fifth of a second to load, and only ramps need it

    most = float((x / n).max())
    best = None
    for sigma, kappa in ((0.01, 1e-4), (0.3, 1e-6), (0.9, 1e-3)):
        found = least_squares(
            lambda at: throughput(n, *at) - x,
            (most, sigma, kappa),
            jac=lambda at: _slopes(n, tuple(at)),
            bounds=((0, 0, 0), (np.inf, 1, np.inf)),
            x_scale=(most, 0.1, 1e-3),
            ftol=1e-14, xtol=1e-14, gtol=1e-14, max_nfev=2000,
        )  # fmt: skip
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    scale, sigma, kappa = (float(one) for one in best.x)
    return scale, sigma, kappa


def _slopes(n: Floats, at: tuple[float, ...]) -> Floats:
    """Derivatives of X by the three parameters, shape (levels, 3)."""
    scale, sigma, kappa = at
    below = 1 + sigma * (n - 1) + kappa * n * (n - 1)
    common = -scale * n / np.square(below)
    return np.column_stack([n / below, common * (n - 1), common * n * (n - 1)])


def one_way(left: Floats, jacobian: Floats, best: float) -> bool:
    """Whether residuals, in order of N, keep their side more than chance lets them: the squares of their steps over their own
    squares (von Neumann), held against the same of noise through the same fit, taken as linear around it (5 %)."""
    if math.sqrt(float(np.square(left).mean())) <= NEGLIGIBLE * best:
        return False
    q, _ = np.linalg.qr(jacobian / np.maximum(np.linalg.norm(jacobian, axis=0), 1e-300))
    noise = np.random.default_rng(SEED).standard_normal((SIMULATED, len(left)))
    noise -= (noise @ q) @ q.T
    return bool((1 + int((_steps(noise) <= _steps(left)).sum())) / (1 + SIMULATED) < LEVEL)


def _steps(left: Floats) -> Floats:
    found: Floats = np.square(np.diff(left)).sum(axis=-1) / np.square(left).sum(axis=-1)
    return found


def _peak(
    n: Floats, x: Floats, at: tuple[float, float, float], jacobian: Floats, spread: float
) -> tuple[float, float] | None:
    """N = sqrt((1 - sigma) / kappa) and X there, if the law falls from there to the last level by more than its error (95 %,
    one-sided, errors of the parameters taken as linear), and the levels themselves do: the law has no flat top, and falls
    behind one. None: not observed; nothing is told of what lies beyond the levels."""
    _, sigma, kappa = at
    if kappa <= 0 or sigma >= 1:
        return None
    top = np.array([math.sqrt((1 - sigma) / kappa)])
    last = n[-1:]
    if not 1 <= top[0] < last[0]:
        return None
    fall = float(throughput(top, *at)[0] - throughput(last, *at)[0])
    slope = (_slopes(top, at) - _slopes(last, at))[0]
    error = spread * math.sqrt(float(slope @ np.linalg.pinv(jacobian.T @ jacobian) @ slope))
    if not fall > float(stdtrit(len(n) - len(at), 1 - LEVEL)) * error:
        return None
    behind = n >= n[n <= top[0]].max() if (n <= top[0]).any() else n > 0
    if not _falls(n[behind], x[behind], spread, len(n) - len(at)):
        return None
    return float(top[0]), float(throughput(top, *at)[0])


def _falls(n: Floats, x: Floats, spread: float, free: int) -> bool:
    """Whether a straight line through some levels (at least 3) surely falls (95 %, one-sided): by the spread of all residuals
    of the law, or by these levels' own, where the law lies off elsewhere."""
    if len(np.unique(n)) < 3:
        return False
    away = n - n.mean()
    square = float(np.square(away).sum())
    slope = float(away @ x) / square
    own = math.sqrt(float(np.square(x - x.mean() - slope * away).sum()) / (len(n) - 2))
    errors = ((spread, free), (own, len(n) - 2))
    return any(slope + float(stdtrit(of, 1 - LEVEL)) * one / math.sqrt(square) < 0 for one, of in errors)
