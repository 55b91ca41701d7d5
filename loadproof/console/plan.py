"""`inv plan`: every action and rendered file of a bench, as text, without any ssh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from loadproof.console.text import escape
from loadproof.console.trial import before, trial_line
from loadproof.plan.values import (
    Action,
    Await,
    Desired,
    Experiment,
    HostDesired,
    Platform,
    Put,
    Stage,
    TrialPlan,
)


class Preview(Protocol):
    """All that is decided for a bench."""

    @property
    def experiment(self) -> Experiment: ...
    @property
    def trials(self) -> tuple[TrialPlan, ...]: ...
    @property
    def stages(self) -> Mapping[str, tuple[Stage, ...]]: ...
    @property
    def desired(self) -> Mapping[str, Desired]: ...
    @property
    def assumed(self) -> tuple[str, ...]: ...
    @property
    def platform(self) -> Platform: ...


def plan(preview: Preview, files: bool) -> str:
    """The load, then for each trial the desired state of every host and the stages in order."""
    lines = [before(preview.experiment), ""]
    if preview.assumed:
        glibc = ".".join(str(part) for part in preview.platform.glibc)
        lines += [
            f"assumed: Python {preview.platform.python} on {preview.platform.machine}, glibc {glibc}, for "
            f"{', '.join(preview.assumed)}, not declared and never asked: trees may have other names",
            "",
        ]
    for index, trial in enumerate(preview.trials, start=1):
        desired = preview.desired[trial.id]
        lines += [trial_line(trial, index, len(preview.trials)), f"deploy id {desired.deploy_id}", ""]
        for stage in preview.stages[trial.id]:
            lines += [f"stage {stage.name}"]
            if stage.name == "apply":
                lines += [line for host in desired.hosts for line in _host(host, files)]
            for wave in stage.waves:
                lines += [f"  {_action(action)}" for action in wave]
    return "\n".join(lines)


def _action(action: Action) -> str:
    if isinstance(action, Put):
        return f"{action.host}: write {action.path}\n      " + escape(action.text).rstrip().replace(
            "\n", "\n      "
        )
    if isinstance(action, Await):
        return f"{action.host}: wait until {action.condition} (at most {action.within:g} s)\n      $ {escape(action.command)}"
    told = f"\n      < {escape(action.stdin).rstrip()}" if action.stdin else ""
    return f"{action.host}: {action.name}\n      $ {escape(action.command)}" + told.replace(
        "\n", "\n      "
    ).replace("      " * 2, " " * 6)


def _host(host: HostDesired, files: bool) -> list[str]:
    lines = [f"  {host.host}:"]
    lines += [f"    program {program} (package {package})" for program, package in host.packages]
    lines += [f"    tree {tree.path}" for tree in host.trees]
    for file in host.files:
        lines.append(f"    file {file.path} {file.mode:04o} {file.sha256[:12]}")
        if files and not file.secret and not file.path.endswith(".py"):
            lines += ["      | " + escape(line) for line in file.data.decode("utf-8", "replace").splitlines()]
    lines += [f"    unit {unit.name} {unit.state}" for unit in host.units]
    lines += [
        f"    read back {promise.kind} on port {promise.port}: {promise.expected}"
        for promise in host.promises
    ]
    return lines
