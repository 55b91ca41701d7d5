"""The lab as it is. Changes nothing, needs no root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network

from lab import listing, network
from lab.answer import Answer, ask_all
from lab.config import NET, HostState, LabConfig, LabHost, LabState
from lab.owner import is_ours, left_behind, read_owner
from lab.processes import mounted, process
from lab.record import Record, read_record
from loadproof.errors import Refused

LOOK_S = 3.0


def status(config: LabConfig | None = None, within: float = LOOK_S) -> LabState:
    """Look at every host, at most `within` seconds each; a host that is off says so in its `trouble`."""
    config = config or LabConfig.of()
    record = read_record(config)
    config = settled(config, record)
    living = [
        host for host in record.hosts if process(config, host) is not None and network.plugged(config, host)
    ]
    answers = ask_all(config, living, within)
    return state_of(config, record, answers)


def state_of(
    config: LabConfig, record: Record, answers: Sequence[Answer], changed: Sequence[str] = ()
) -> LabState:
    """What answers make of the lab; hosts of the record without one are looked up."""
    by_name = {answer.host.name: answer for answer in answers}
    hosts = tuple(host_state(config, host, by_name.get(host.name)) for host in record.hosts)
    owner = read_owner(config)
    whole = bool(hosts) and not any(host.trouble for host in hosts) and listing.matches(config, record.hosts)
    return LabState(
        up=whole and is_ours(config, owner),
        hosts=hosts,
        suite=record.suite,
        image=record.image,
        bridge=config.bridge,
        net=str(config.net),
        inventory=config.inventory,
        owner=f"{owner or ''}{'; none of its hosts runs' if left_behind(config) else ''}",
        changed=tuple(changed),
    )


def host_state(config: LabConfig, host: LabHost, answer: Answer | None) -> HostState:
    """One host as found."""
    pid = process(config, host)
    trouble = lack(config, host)
    if answer is not None and pid is not None:
        return HostState(host, pid, answer.system, answer.trouble or trouble)
    return HostState(host, pid, "", trouble)


def lack(config: LabConfig, host: LabHost) -> str:
    """What a host lacks to be able to answer; "" when nothing is seen from outside."""
    if process(config, host) is None:
        return "not running"
    if not mounted(config, host):
        return "running, but its file system is not mounted"
    if not network.plugged(config, host):
        if not network.exists(config.bridge):
            return f"running, but the bridge {config.bridge} is gone"
        return f"running, but not plugged into {config.bridge}"
    return ""


def settled(config: LabConfig, record: Record) -> LabConfig:
    """The config with the net and suite that the existing hosts have. Raises Refused when another was asked for."""
    if not record.hosts:
        return config
    for what, asked, has in (
        ("net", str(config.net) if str(config.net) != NET else None, record.net),
        ("suite", config.suite, record.suite),
    ):
        if asked is not None and asked != has:
            raise Refused(
                f"the lab's hosts have {what} {has}, {asked} was asked",
                where="lab",
                kept="all hosts",
                next=f"inv lab.down, then LOADPROOF_LAB_{what.upper()}={asked} inv lab.up",
            )
    return replace(config, net=IPv4Network(record.net), suite=record.suite)
