"""Where throughput bends over users: a broken stick against one straight line. Pure.

Two segments that meet, by least squares, through the settled levels of each trial; the break lies between the second level
and the last but one, so that each segment has two levels. A line is always a special case of two segments, and naive tests
see a knee in 10 to 14 % of straight lines: here the gain of the second segment, summed over trials and divided by what is
left, is held against the same of SIMULATED data sets made from the trials' own straight lines (parametric bootstrap), with
noise of one size and, since the noise of a rate may grow with it, with noise in proportion to the line: the larger p counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from analysis.statistics import LEAST_PAIRS, quantile
from loadproof.plan.load import KNEE_LEVELS, LEVEL_S

Floats = NDArray[np.float64]
Kind = Literal["knee", "below", "none", "unclear", "short", "few", "failed"]

SIMULATED, SEED, LEVEL = 999, 20261126, 0.05
BENDS = 0.5  # a knee: a user more brings less than so much of what one brought before it
BESIDE = 1.1  # a break so near to the first level is at it
GRID, FINE = 20, 50  # places of a break tried between two levels, and then around the best of them
EXACT = 1e-9  # residuals below this share of the values are those of arithmetic


@dataclass(frozen=True)
class Trial:
    """The settled levels of one trial, in order of users: how many of all its levels are `short`, and its block."""

    users: Sequence[float]
    tps: Sequence[float]
    short: int = 0
    block: int = 0


@dataclass(frozen=True)
class Bend:
    """The broken stick of one trial: users at its break, TPS there, and the slopes before and after it."""

    users: float
    tps: float
    before: float
    after: float

    @property
    def bends(self) -> bool:
        """Whether it is a knee."""
        return self.after < BENDS * self.before


@dataclass(frozen=True)
class Knee:
    """What is said of a ramp. `users`: the mean over trials of their knees, None without one; `low`, `high`: 95 % t interval
    over at least 3 trials. `trials` have levels enough, `each` are their breaks, in these `blocks`; `p` of one straight line; `hides_from`: where
    there is none, the least users at which a knee would not have been seen for noise (None: it would have been, anywhere)."""

    kind: Kind
    trials: int
    most: float = 0.0
    users: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    each: tuple[Bend, ...] = ()
    hides_from: float | None = None
    blocks: tuple[int, ...] = ()

    @property
    def answer(self) -> str:
        """In words."""
        over = f"{self.trials} {'trial' if self.trials == 1 else 'trials'}"
        if self.kind == "knee" and self.users is not None:
            if self.low is None or self.high is None:
                bent = sum(one.bends for one in self.each)
                few = (
                    f": an interval needs {LEAST_PAIRS}" if bent == self.trials else f", {bent} of them bend"
                )
                return f"knee at {self.users:.0f} users ({over}{few})"
            return f"knee at {self.users:.0f} users ({self.low:.0f} to {self.high:.0f}, {over})"
        if self.kind == "none":
            unseen = f"; one from {self.hides_from:.0f} on would hide in the noise" if self.hides_from else ""
            return f"none up to {self.most:.0f} users{unseen}"
        return {
            "below": "below the first step",
            "unclear": "not decided: levels differ too much by chance",
            "failed": "no request of a settled level succeeded",
            "short": f"levels too short: fewer than {KNEE_LEVELS} settled ({LEVEL_S:g} s and 5 times the MTT)",
            "few": f"too few levels (fewer than {KNEE_LEVELS})",
        }.get(self.kind, "")


def knee(trials: Sequence[Trial]) -> Knee:
    """The knee of an arm, over its trials."""
    enough = [one for one in trials if len(set(one.users)) >= KNEE_LEVELS]
    if not enough:
        short = any(len(one.users) + one.short >= KNEE_LEVELS for one in trials)
        return Knee("short" if short else "few", 0)
    if not any(max(one.tps) > 0 for one in enough):
        return Knee("failed", 0)
    sticks = [_Stick(np.asarray(one.users, float), np.asarray(one.tps, float)) for one in enough]
    most = max(float(one.users.max()) for one in sticks)
    p = _p(sticks)
    bends, blocks = tuple(one.bend() for one in sticks), tuple(one.block for one in enough)
    before, after = (sum(getattr(one, name) for one in bends) for name in ("before", "after"))
    bent = p < LEVEL and after < BENDS * before
    if _surely_flat(sticks, bends if bent else None):
        return Knee("below", len(sticks), most, p=p, each=bends, blocks=blocks)
    if bent:
        users = [one.users for one in bends if one.bends]
        low, high = _interval(users) if len(users) == len(bends) else (None, None)
        return Knee("knee", len(sticks), most, float(np.mean(users)), low, high, p, bends, blocks=blocks)
    hides = _hides_from(sticks)
    kind: Kind = (
        "unclear" if hides is not None and hides <= max(float(one.users[1]) for one in sticks) else "none"
    )
    return Knee(kind, len(sticks), most, p=p, each=bends, hides_from=hides, blocks=blocks)


def _interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The 95 % t interval of a mean of users, of which there are no fewer than 0; none below 3."""
    if len(values) < LEAST_PAIRS:
        return None, None
    mean, half = (
        float(np.mean(values)),
        quantile(0.95, len(values)) * float(np.std(values, ddof=1)) / math.sqrt(len(values)),
    )
    return max(0.0, mean - half), mean + half


class _Stick:
    """The levels of one trial with everything about them that does not depend on their throughput."""

    def __init__(self, users: Floats, tps: Floats) -> None:
        order = np.argsort(users, kind="stable")
        self.users, self.tps = users[order], tps[order]
        levels = np.unique(self.users)
        self.second, self.third = float(levels[1]), float(levels[2])
        steps = [
            np.linspace(a, b, GRID, endpoint=False) for a, b in zip(levels[1:-2], levels[2:-1], strict=True)
        ]
        self.breaks = np.append(np.concatenate(steps), levels[-2])
        self.line, self.hinges = self._bases(self.breaks)

    def _bases(self, breaks: Floats) -> tuple[Floats, Floats]:
        """Orthonormal columns (n, 2) of straight lines; and, per break, what a hinge there adds to them, (n, breaks)."""
        line, _ = np.linalg.qr(np.column_stack([np.ones_like(self.users), self.users]))
        hinge = np.maximum(self.users[:, None] - breaks[None, :], 0.0)
        hinge -= line @ (line.T @ hinge)
        return line, hinge / np.linalg.norm(hinge, axis=0)

    def straight(self, tps: Floats) -> Floats:
        """The fitted straight line of throughputs, shape (…, n)."""
        found: Floats = (tps @ self.line) @ self.line.T
        return found

    def gain(self, tps: Floats) -> tuple[Floats, Floats]:
        """What the best break takes from the squared residuals of the straight line, and these; only bends down count."""
        left = tps - self.straight(tps)
        down = np.minimum(left @ self.hinges, 0.0)
        return np.square(down).max(axis=-1), np.square(left).sum(axis=-1)

    def bend(self) -> Bend:
        """The broken stick that fits best."""
        at = float(self.breaks[np.argmin(np.minimum(self.tps @ self.hinges, 0.0))])
        width = float(np.diff(self.breaks).max())
        fine = np.clip(np.linspace(at - width, at + width, 2 * FINE + 1), self.breaks[0], self.breaks[-1])
        at = float(fine[np.argmin(np.minimum(self.tps @ self._bases(fine)[1], 0.0))])
        design = np.column_stack([np.ones_like(self.users), self.users, np.maximum(self.users - at, 0.0)])
        base, before, hinge = np.linalg.lstsq(design, self.tps, rcond=None)[0]
        return self._early(Bend(at, float(base + before * at), float(before), float(before + hinge)))

    def _early(self, bend: Bend) -> Bend:
        """A break found just behind the second level may lie before it, where no two levels show the first slope: then
        throughput grows until there as from no users to the first level."""
        first, ray = float(self.users[0]), self.ray
        found = bend.users <= self.second or bend.users <= self.third and bend.before < BENDS * ray
        if not found or not ray > bend.after:
            return bend
        at = (bend.tps - bend.after * bend.users) / (ray - bend.after)
        return Bend(at, ray * at, ray, bend.after) if BESIDE * first < at < self.second else bend

    @property
    def ray(self) -> float:
        """Throughput per user at the first level."""
        first = float(self.users[0])
        return self._at(first) / first

    @property
    def begins(self) -> float:
        """What a user more brings from the first level to the second."""
        first = float(self.users[0])
        return (self._at(self.second) - self._at(first)) / (self.second - first)

    def _at(self, users: float) -> float:
        return float(self.tps[self.users == users].mean())


def _p(sticks: Sequence[_Stick]) -> float:
    """How often straight lines gain as much from a second segment: the larger share of two kinds of noise."""
    found = [one.gain(one.tps) for one in sticks]
    gain, left = (float(sum(part)) for part in zip(*found, strict=True))
    if left <= EXACT**2 * sum(float(np.square(one.tps).sum()) for one in sticks):
        return 1.0
    seen = gain / max(left - gain, 1e-300)
    spread = math.sqrt(left / sum(len(one.tps) - 2 for one in sticks))
    chance = np.random.default_rng(SEED)
    worst = 0.0
    for proportional in (False, True):
        gains, lefts = np.zeros(SIMULATED), np.zeros(SIMULATED)
        for one in sticks:
            line = one.straight(one.tps)
            size = np.abs(line) / math.sqrt(float(np.square(line).mean())) if proportional else 1.0
            noise = chance.standard_normal((SIMULATED, len(line))) * spread * size
            some, rest = one.gain(line + noise)
            gains, lefts = gains + some, lefts + rest
        worst = max(worst, (1 + int((gains / (lefts - gains) >= seen).sum())) / (1 + SIMULATED))
    return worst


def _contrast(
    sticks: Sequence[_Stick], designs: Sequence[Floats], weights: Sequence[Floats]
) -> tuple[float, float, int]:
    """Sum over trials of weights · least-squares coefficients, its standard error, and the degrees of freedom."""
    value = left = variance = 0.0
    free = 0
    for one, design, weight in zip(sticks, designs, weights, strict=True):
        inverse = np.linalg.pinv(design)
        coefficients = inverse @ one.tps
        value += float(weight @ coefficients)
        variance += float(np.square(weight @ inverse).sum())
        left += float(np.square(one.tps - design @ coefficients).sum())
        free += len(one.tps) - design.shape[1]
    return value, math.sqrt(variance * left / free), free


def _design(one: _Stick, at: float | None) -> Floats:
    """Columns of a straight line, and of a hinge at a break."""
    columns = [np.ones_like(one.users), one.users]
    return np.column_stack(columns if at is None else [*columns, np.maximum(one.users - at, 0.0)])


def _surely_flat(sticks: Sequence[_Stick], bends: Sequence[Bend] | None) -> bool:
    """Whether throughput grows less than half as fast, over all levels (with `bends`: up to the break), as from no users to
    the first one, by 95 %; and does so from the first level to the second. Where it does not, a queue that bends softly is
    flatter on the whole than at its beginning, and its knee lies behind the first step all the same."""
    if sum(one.begins - BENDS * one.ray for one in sticks) >= 0:
        return False
    if bends and any(bend.before == one.ray for one, bend in zip(sticks, bends, strict=True)):
        return False
    breaks = [bend.users for bend in bends] if bends else [None] * len(sticks)
    designs = [_design(one, at) for one, at in zip(sticks, breaks, strict=True)]
    weights = [np.array([-BENDS / one.users[0], 1 - BENDS, 0.0][: 3 if bends else 2]) for one in sticks]
    value, error, free = _contrast(sticks, designs, weights)
    return value + float(stdtrit(free, 1 - LEVEL)) * error < 0


def _hides_from(sticks: Sequence[_Stick]) -> float | None:
    """The least users from which a knee is not excluded: where, with a break there, a user more may bring less than half of
    what one brings up to there (one-sided, 5 %)."""
    for at in sorted({float(level) for one in sticks for level in one.users}):
        if not all(one.breaks[0] <= at <= one.breaks[-1] for one in sticks):
            continue
        # slope after the break - half of the throughput per user at the break
        weight = np.array([-BENDS / at, 1 - BENDS, 1.0])
        value, error, free = _contrast(sticks, [_design(one, at) for one in sticks], [weight] * len(sticks))
        if value - float(stdtrit(free, 1 - LEVEL)) * error < 0:
            return at
    return None
