"""Is what ran at the end what was deployed at the beginning?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.readers.facts import Said, part, whole
from loadproof.plan.actions import hosts_of
from loadproof.plan.places import APP_UNIT
from loadproof.plan.values import STATUS_PORT, TrialPlan

ASKS = "are deployed files, nginx's config and each app's deploy id after the load those from before it?"
WITHHOLDS = "trial"
REMEDY = "let nobody change hosts while a trial runs; inv deploy puts them right, then repeat the trial"

SHOWN = 3


def applies(plan: TrialPlan) -> bool:
    """Every trial has hosts that somebody may change."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is how many things differ."""
    changed: list[str] = []
    open_: list[str] = []
    for host in hosts_of(evidence.plan):
        both = evidence.facts.both(host)
        if both is None or not all(part(one, "files") for one in both):
            open_.append(f"{host}: what was deployed there is unknown")
            continue
        changed += [f"{host}: {text}" for text in _files(*both)]
        for text, certain in (*_config(evidence.plan, host, *both), *_health(evidence.plan, host, *both)):
            (changed if certain else open_).append(f"{host}: {text}")
    if changed:
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        return invalid("; ".join(changed[:SHOWN]) + more, float(len(changed)), 0.0, "changes")
    if open_:
        return unknown("; ".join(open_[:SHOWN]), limit=0.0, unit="changes")
    return valid("nothing changed", 0.0, 0.0, "changes")


def _files(before: Said, after: Said) -> Iterator[str]:
    for key, what in (("files", "changed"), ("trees", "changed"), ("altered", "was altered")):
        old, new = part(before, key), part(after, key)
        for path in sorted({*old, *new}):
            if old.get(path) != new.get(path):
                yield f"{str(path)[:120]} {what}"
    old_, new_ = (_listed(one.get("dropins")) for one in (before, after))
    for path in sorted(old_ ^ new_):
        yield f"{path[:120]} {'came' if path in new_ else 'went'}"


def _listed(value: Any) -> set[str]:
    return {str(one) for one in value} if isinstance(value, list) else set()


def _config(plan: TrialPlan, host: str, before: Said, after: Said) -> Iterator[tuple[str, bool]]:
    """(sentence, whether it is certain) where nginx answers another config than before."""
    if host != plan.proxy:
        return
    old, new = (part(one, "config").get(str(STATUS_PORT)) for one in (before, after))
    if old is None or new is None:
        yield "nginx did not say which config it has", False
    elif old != new:
        yield f"nginx answers config {str(new)[:20]}, {str(old)[:20]} before", True


def _health(plan: TrialPlan, host: str, before: Said, after: Said) -> Iterator[tuple[str, bool]]:
    """The same for an app that is not the one planned. An app that did not answer after the load is the one from before
    it as long as it is the same process."""
    if host not in plan.apps:
        return
    for when, one in (("before", before), ("after", after)):
        found = list(part(one, "health").values())
        if not found or not isinstance(found[0], dict):
            same = whole(part(before, "units", APP_UNIT), "pid")
            if when == "after" and same and same == whole(part(after, "units", APP_UNIT), "pid"):
                continue
            yield f"the app did not say what it is {when} the load", False
            continue
        answer = found[0]
        if answer.get("deploy_id") != plan.deploy_id or answer.get("variant") != plan.serving.variant:
            named = f"{str(answer.get('deploy_id'))[:20]} {str(answer.get('variant'))[:20]}"
            yield (
                f"the app answers {named} {when} the load, {plan.deploy_id} {plan.serving.variant} was planned",
                True,
            )
