"""Did anybody else use the hosts' CPU?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from analysis.checks import Measured, invalid, together, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.measures import cpu, shares
from analysis.measures.columns import Ints
from analysis.measures.window import Window
from loadproof.plan.values import STEAL, TrialPlan

ASKS = "did processes that are not ours, and the machines below the hosts, leave the hosts' CPUs alone?"
WITHHOLDS = "trial"
REMEDY = (
    "find who it is (top on that host) and stop it, or take hosts that nobody shares; then repeat the trial"
)
SHARED = (
    "take hosts that nobody shares, or a quieter hour; where neither is to be had, --steal 5% (in an experiment --set "
    "steal=5%; at most 8) tolerates more, and every answer says so"
)

# In % of one CPU. Measured on quiet hosts over holds of a minute: 1.3 % where an app is and where we look in over ssh each
# second, most of it by programs that end at once (without these 0.1 and 0.5 %).
SUSTAINED = 10.0  # over the window: an app held to 5 % of a CPU still finds it free nine times out of ten
SUDDEN, SUDDEN_US = 25.0, 5_000_000  # in any 5 s
TAKEN = "of the CPU was stolen by the machine below"
HOST = ("host_user_us", "host_system_us", "host_idle_us", "host_iowait_us", "host_steal_us")


def applies(plan: TrialPlan) -> bool:
    """Every trial has hosts."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is what processes of no unit of ours used, in % of one CPU, on the worst host; or the share that was
    stolen. A watched host works for others as well: only what is stolen from it counts. /proc/stat in a container is the
    machine's, so that "others" are counted process by process, and, for those that live between two samples only, by the
    host's control groups."""
    plan, hold = evidence.plan, evidence.window
    if hold is None:
        return unknown("there is no window", limit=SUSTAINED, unit="%")
    ours = tuple(dict.fromkeys((*plan.loads, plan.proxy, *plan.apps)))
    found = [_others(evidence, host, hold) for host in ours]
    found += [_stolen(evidence, host, hold) for host in dict.fromkeys((*ours, *plan.watch))]
    worst = together(found)
    if worst.verdict != "VALID":
        return worst
    used, taken = together(found[: len(ours)]), together(found[len(ours) :])
    said = f"others used at most {used.value or 0:.1f} % of one CPU on any host"
    if plan.steal > STEAL and (taken.value or 0.0) > STEAL:
        said += f"; the machine below took {taken.value:.1f} %, {plan.steal:g} % are tolerated as asked"
    return valid(said, used.value, SUSTAINED, "%")


def stolen(check: Mapping[str, Any], beside: bool = False) -> bool:
    """Of this check as results.json has it: whether it turned because the machine below kept CPU for itself; `beside`: or
    for that as well, beside what others used. (What may be tolerated of that is below any limit of what others use.)"""
    turned = (check["name"], check["verdict"]) == ("quiet_hosts", "INVALID")
    limit = check.get("limit")
    most = limit is not None and limit < SUSTAINED
    return turned and (most or (beside and TAKEN in str(check.get("said"))))


def _others(evidence: Evidence, host: str, hold: Window) -> Measured:
    samples = evidence.samples(host, "other_ns")
    if samples is None:
        return unknown(f"{host}: its CPU is unknown", limit=SUSTAINED, unit="%")
    sudden = shares.sliding(*samples, hold.from_us, hold.to_us, SUDDEN_US)
    if not len(sudden):
        return unknown(f"{host}: its samples do not reach over the window", limit=SUSTAINED, unit="%")
    mean = 100 * float(shares.sliding(*samples, hold.from_us, hold.to_us, hold.to_us - hold.from_us).max())
    most = 100 * float(sudden.max())
    said = f"{host}: processes that are not ours used {mean:.1f} % of one CPU, up to {most:.1f} % in 5 s"
    if mean > SUSTAINED:
        return invalid(said, mean, SUSTAINED, "%")
    if most > SUDDEN:
        return invalid(said, most, SUDDEN, "%")
    if any(begin < hold.to_us and end > hold.from_us for begin, end in cpu.gaps(samples[0])):
        why = "its samples have a gap: what came and went in it nobody saw"
        return unknown(f"{host}: {why}", limit=SUSTAINED, unit="%")
    return valid(said, mean, SUSTAINED, "%")


def _stolen(evidence: Evidence, host: str, hold: Window) -> Measured:
    most = evidence.plan.steal
    parts = {name: evidence.samples(host, name) for name in HOST}
    spent = {name: _grown(samples, hold) for name, samples in parts.items() if samples is not None}
    total = sum(one or 0.0 for one in spent.values())
    # the CPU of a host always does something, were it to idle: where nothing grew nobody measured it
    if len(spent) < len(HOST) or any(one is None for one in spent.values()) or total <= 0:
        return unknown(f"{host}: what was stolen from it is unknown", limit=most, unit="%")
    share = 100 * (spent["host_steal_us"] or 0.0) / total
    said = f"{host}: {share:.1f} % {TAKEN}"
    if share <= most:
        return valid(said, share, most, "%")
    return replace(invalid(said, share, most, "%"), remedy=SHARED)


def _grown(samples: tuple[Ints, Ints], hold: Window) -> float | None:
    """By how much a cumulative column grew in the window; None when samples do not reach over it, or when it begins or ends
    where they have a gap."""
    at, value = samples
    if len(at) < 2 or at[0] > hold.from_us or at[-1] < hold.to_us:
        return None
    if any(begin < edge < end for begin, end in cpu.gaps(at) for edge in (hold.from_us, hold.to_us)):
        return None
    begin, end = shares.moment(at, value, [hold.from_us, hold.to_us])
    return float(end - begin)
