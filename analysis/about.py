"""What the report says of how a run was made: load, timeouts, trials, hosts, versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from analysis import asked
from analysis.models import MEANS
from analysis.words import NONE, number
from loadproof.errors import RecordUnreadable
from loadproof.plan import openload, timeouts
from loadproof.plan.values import Load, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.paths import RunFolder
from loadproof.runfolder.record import RunRecord


def distinct(
    plans: Iterable[tuple[str, TrialPlan]], value: Callable[[TrialPlan], Any]
) -> list[tuple[str, Any]]:
    """(arms, value): labelled plans with the same value together."""
    found: list[tuple[list[str], Any]] = []
    for label, plan in plans:
        made = value(plan)
        same = next((names for names, known in found if known == made), None)
        if same is None:
            found.append(([label], made))
        elif label not in same:
            same.append(label)
    return [(", ".join(names), made) for names, made in found]


def load(plan: TrialPlan) -> dict[str, Any]:
    """The load of a trial in words."""
    one = plan.load
    return {
        "table": [(number(second), number(users)) for second, users in one.table],
        "said": one.said,
        "rows": [
            ("users", f"{one.users} = {one.processes} processes x {one.threads} threads"),
            ("ramp", _ramp(one)),
            ("settle, hold, end", f"{one.settle_s:g} s, {one.hold_s:g} s, second {one.end_s:g}"),
            ("think time, timeout", f"{one.think_s:g} s, {one.timeout_s:g} s"),
            (
                "scenario, model",
                f"{one.scenario}; {openload.said(one)}: {MEANS['closed' if one.rate is None else 'open']}",
            ),
            *([("autostop", f"by {one.autostop}'s rule")] if one.autostop != "none" else []),
        ],
    }


def _ramp(one: Load) -> str:
    if one.rate is None:
        return f"by {one.ramp}, last step at second {one.ramp_end_s:g}"
    return f"none: all users at once, first requests at second {one.ramp_end_s:g}"


def ruled_out(plan: TrialPlan) -> tuple[str, ...]:
    """Errors that the chain of timeouts makes impossible."""
    try:
        return timeouts.ruled_out(plan.timeouts)
    except KeyError:
        return ()


def trial(plan: TrialPlan) -> tuple[str, ...]:
    """What served in a trial: servers, limiter, variant, deploy id."""
    held = "none" if plan.limit.kind == "none" else f"{plan.limit.kind} {plan.limit.percent:g} %"
    return (", ".join(plan.apps), held, plan.serving.variant, plan.deploy_id)


def run(source: RunFolder) -> dict[str, Any]:
    """What is known of one run: note, settings, command, provenance, hosts."""
    try:
        known: RunRecord | None = record.read_run(source)
    except RecordUnreadable:
        known = None
    found: dict[str, Any] = {
        "id": source.id,
        "began": moment(source.id),
        "note": "",
        "command": "",
        "commit": NONE,
        "rows": [],
        "hosts": [],
        "kernel": "",
        "settings": [],
    }
    if known is not None:
        made = known.provenance
        dirty = ", with uncommitted changes" if made.get("dirty") else ""
        found |= {
            "note": known.experiment.note,
            "settings": asked.settings(known.experiment),
            "command": " ".join(known.command),
            "commit": f"{str(made.get('commit') or 'no git')[:12]}{dirty}",
            "rows": [
                ("Python", made.get("python")),
                ("system", made.get("system")),
                *_pairs(made.get("versions")),
            ],
        }
    seen = _facts(source)
    if _one_kernel(list(seen.values())):
        found["kernel"] = (
            "These hosts share one kernel: they are containers of one machine, not machines of their own."
        )
    found["hosts"] = [
        _host(host, seen.get(host.name, {})) for host in (known.inventory.hosts if known else ())
    ]
    return found


def _one_kernel(facts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all hosts run on one kernel. Containers may show the machine's boot id or one of their own
    (systemd-nspawn makes one), but the moment when the kernel started is the same for all."""
    if len(facts) < 2:
        return False
    boots = {str(one.get("boot_id") or "") for one in facts}
    if len(boots) == 1 and boots != {""}:
        return True
    booted = [_seconds(one.get("booted_s")) for one in facts]
    alike = len({(str(one.get("kernel")), str(one.get("memory_kb"))) for one in facts}) == 1
    # the kernel derives it from its running clock, so two readings may differ by a second
    return alike and all(booted) and max(booted) - min(booted) <= 1


def _seconds(value: Any) -> float:
    """A time that a host told; 0 where it is none."""
    return float(value) if isinstance(value, (int, float)) and 0 < value < 1e12 else 0.0


def _pairs(value: Any) -> list[tuple[str, str]]:
    pairs = value if isinstance(value, (list, tuple)) else ()
    return [(str(one[0]), str(one[1])) for one in pairs if isinstance(one, (list, tuple)) and len(one) == 2]


def _facts(source: RunFolder) -> dict[str, Mapping[str, Any]]:
    """The last facts of each host of a run."""
    found: dict[str, Mapping[str, Any]] = {}
    for paths in source.trials:
        try:
            lines = record.read_facts(paths.facts).lines
        except RecordUnreadable:
            continue
        found |= {
            str(line.get("host")): line["facts"] for line in lines if isinstance(line.get("facts"), dict)
        }
    return found


def _host(host: Any, facts: Mapping[str, Any]) -> tuple[str, ...]:
    system = facts.get("os")
    named = system.get("PRETTY_NAME") if isinstance(system, dict) else None
    address = host.address or host.ssh_host
    return (
        host.name,
        ", ".join(host.roles),
        address,
        str(named or NONE),
        str(facts.get("kernel") or NONE),
        str(facts.get("cpus") or NONE),
    )


def moment(run: str) -> str:
    """The time in a run's id, for a person."""
    try:
        return (
            datetime.strptime(run[:16], "%Y%m%dT%H%M%SZ")
            .replace(tzinfo=UTC)
            .strftime("%d %B %Y, %H:%M UTC")
            .lstrip("0")
        )
    except ValueError:
        return ""
