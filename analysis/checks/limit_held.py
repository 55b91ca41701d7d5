"""CPU of the app's process tree against the limit that was asked."""

from __future__ import annotations

from dataclasses import replace

from analysis.checks import Measured, invalid, together, unknown, valid
from analysis.checks._limit import asked, cycle_us, sudden, tolerance
from analysis.checks.evidence import Evidence
from analysis.measures import cpu, shares
from analysis.measures.window import Window
from analysis.readers.outcome import plural
from loadproof.plan import limiters
from loadproof.plan.values import TrialPlan

ASKS = (
    "did each app get the CPU that was asked: never more in any 5 s of the window, nor, where it reached the limit at all, less "
    "while requests waited?"
)
WITHHOLDS = "trial"
REMEDY = (
    "choose --limiter quota, which holds to half a point, or calibrate the limit first; then repeat the trial"
)

LASTING = (
    "have the app keep its processes over the window: CPU is known of those that samples see to their end"
)
ROUGH = (
    "{0} gives an app that always has work more than {1:g} %, whatever it is set to: choose --limiter quota, or fewer "
    "users; a repeat may hold"
)
CALIBRATED = (
    "choose --limiter quota, which holds to half a point, or repeat the trial: it was calibrated already, with servers "
    "that were kept full, and launches differ"
)
LONGER = "ask for a longer --hold"
SLIDE_US = 5_000_000


def applies(plan: TrialPlan) -> bool:
    """Without a limiter nothing was asked."""
    return plan.limit.kind != "none"


def judge(evidence: Evidence) -> Measured:
    """The value is the highest share of one CPU in 5 s in %, or the share that broke: of the window, or of the seconds in
    which requests waited.

    cpulimit lets an app run in bursts, about one a second. 5 s hold a burst more or less by where they begin: 1.5 points
    at 5 %, which is no more CPU. Each 5 s is therefore the mean of those that begin within one cycle of the limiter.
    Measured so, sound trials at 5 % had at most 7.5 %, also in 120 s (7.9 % before)."""
    found = together([_host(evidence, host) for host in evidence.plan.apps])
    calibrated = evidence.plan.limit_set and found.verdict == "INVALID" and not found.remedy
    return replace(found, remedy=CALIBRATED) if calibrated else found


def _host(evidence: Evidence, host: str) -> Measured:
    plan, hold = evidence.plan, evidence.window
    wanted, points = asked(plan, host), tolerance(plan, host)
    most = wanted + sudden(plan)
    samples = evidence.samples(host, "app_ns")
    if hold is None or samples is None:
        why = "there is no window" if hold is None else "its CPU is unknown"
        return unknown(f"{host}: {why}", limit=most, unit="%")
    begin, end = _stretch(evidence, hold)
    length_us = end - begin
    found = 100 * shares.sliding(*samples, begin, end, SLIDE_US, cycle_us(plan))
    if not len(found):
        return unknown(f"{host}: its samples do not reach over the window", limit=most, unit="%")
    top = float(found.max())
    mean = 100 * float(shares.sliding(*samples, begin, end, length_us).max())
    if length_us < SLIDE_US + cycle_us(plan):
        return _short(plan, host, mean, length_us)
    said = f"{host}: {mean:.1f} % and at most {top:.1f} % in any 5 s, {wanted:g} asked"
    if top > most:
        return _too_much(plan, wanted, f"{said}, {most:g} tolerated in 5 s", top, most)
    if any(gap < end and over > begin for gap, over in cpu.gaps(samples[0])):
        return unknown(
            f"{host}: its samples have a gap: what it used in any 5 s is not known", limit=most, unit="%"
        )
    if mean > wanted + points:
        return _too_much(plan, wanted, f"{said}, {wanted + points:g} tolerated", mean, wanted + points)
    if why := _unseen(evidence, host, (begin, end), wanted + points, most):
        return replace(unknown(f"{said}; {why}", top, most, "%"), remedy=LASTING)
    if top < wanted - points:
        return valid(f"{said}: the limit was not reached", top, most, "%")
    return _busy(evidence, hold, host, said, top, float(found.min()))


def _unseen(evidence: Evidence, host: str, stretch: tuple[int, int], on_average: float, most: float) -> str:
    """Why what is known is not all, in words: processes of the app ended, and what they used after their last samples could
    have been too much, on average or in 5 s. "" where it could not."""
    used, ended = evidence.samples(host, "app_ns"), evidence.samples(host, "app_ended")
    if used is None or ended is None:
        return ""
    at = used[0]
    every = used[1] + cpu.unseen(at, ended[1])
    top = 100 * float(shares.sliding(at, every, *stretch, SLIDE_US, cycle_us(evidence.plan)).max())
    mean = 100 * float(shares.sliding(at, every, *stretch, stretch[1] - stretch[0]).max())
    if top <= most and mean <= on_average:
        return ""
    count = int(ended[1][(at > stretch[0]) & (at <= stretch[1])].sum())
    return (
        f"{plural(count, 'process', 'processes')} of the app ended, and what they used after their last samples is not "
        f"known: with that up to {mean:.1f} %, and {top:.1f} % in 5 s"
    )


def _stretch(evidence: Evidence, hold: Window) -> tuple[int, int]:
    """The window; one that is too short to hold any 5 s with as much of the load before it as is needed for that, then
    behind it: the limit is in force from before the load to behind it."""
    begin, end, needed = hold.from_us, hold.to_us, SLIDE_US + cycle_us(evidence.plan)
    if end - begin < needed:
        begin = max(hold.zero_us, end - needed)
        end = max(end, min(begin + needed, hold.zero_us + round(evidence.plan.load.end_s * 1e6)))
    return begin, end


def _too_much(plan: TrialPlan, wanted: float, said: str, value: float, limit: float) -> Measured:
    """An app that got more than is tolerated. Where its limiter gives no less at any setting, to calibrate it is no remedy."""
    found = invalid(said, value, limit, "%")
    least = limiters.load(plan.limit.kind).rough_below
    if max(wanted, value) >= least:  # it broke, or another setting gives less
        return found
    return replace(found, remedy=ROUGH.format(plan.limit.kind, wanted, least))


def _short(plan: TrialPlan, host: str, mean: float, length_us: int) -> Measured:
    """A load that is no longer than 5 s and a burst: a burst more or less is most of what it tells. It proves only what
    5 s would exceed though the app had stood still in the rest of them."""
    wanted = asked(plan, host)
    most = wanted + sudden(plan)
    surely = mean * min(length_us, SLIDE_US) / SLIDE_US
    said = f"{host}: {mean:.1f} % in {length_us / 1e6:.1f} s"
    if surely > most:
        return _too_much(plan, wanted, f"{said}: more than {most:g} % of 5 s", surely, most)
    why = f"{said}, which is too short to tell what it used in any 5 s"
    return replace(unknown(why, limit=most, unit="%"), remedy=LONGER)


def _busy(evidence: Evidence, hold: Window, host: str, said: str, top: float, least: float) -> Measured:
    """Never too much; was it too little where requests waited?"""
    plan = evidence.plan
    wanted, points, most = asked(plan, host), tolerance(plan, host), asked(plan, host) + sudden(plan)
    waited = evidence.busy.get(host)
    if waited is None:
        if least >= wanted - points:
            return valid(f"{said}, and at least {least:.1f} %", top, most, "%")
        said += f", and as little as {least:.1f} %: whether requests waited then is unknown"
        return unknown(said, top, most, "%")
    share, busy_us = cpu.busy_share(evidence.tables, host, hold, waited)
    if share is None:
        seldom = "requests hardly ever waited for long"
        said += f": {'the limit was not reached, ' if top < wanted else ''}{seldom}"
        return valid(said, top, most, "%")
    said += f"; {share:.1f} % in {busy_us / 1e6:.1f} s in which requests waited"
    if share < wanted - points:
        return invalid(f"{said}, {wanted - points:g} tolerated", share, wanted - points, "%")
    if share > wanted + points:
        return _too_much(plan, wanted, f"{said}, {wanted + points:g} tolerated", share, wanted + points)
    return valid(said, top, most, "%")
