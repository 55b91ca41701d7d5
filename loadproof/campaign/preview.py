"""All that would be decided for a bench, without asking any host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loadproof.control import probe
from loadproof.plan import actions, trials
from loadproof.plan import desired as desired_state
from loadproof.plan.values import Desired, Experiment, Inventory, Platform, Stage, TrialPlan

ASSUMED = Platform("3.11", "x86_64", (2, 36), "", "declared")


@dataclass(frozen=True)
class Preview:
    """The trials, the stages of each, and the desired state of each. Of a calibration only the first trial is known:
    the others, and what limiters are set to in the measured ones, follow from what is measured."""

    experiment: Experiment
    trials: tuple[TrialPlan, ...]
    stages: Mapping[str, tuple[Stage, ...]]
    desired: Mapping[str, Desired]  # by trial
    assumed: tuple[str, ...]  # hosts whose Python nobody has declared or found yet
    platform: Platform = ASSUMED


def preview(experiment: Experiment, inventory: Inventory, root: Path) -> Preview:
    """Decides as `bench` does; a host whose platform is neither declared nor known is taken for Python 3.11 on x86_64.

    Raises BadInput for more servers than there are.
    """
    trials.enough_servers(experiment, inventory)
    remembered = probe.remembered(root)
    known = {
        host.name: probe.declared(host) if host.platform else remembered.get(probe.key(host))
        for host in inventory.hosts
        if {"app", "load"} & set(host.roles)
    }
    platforms = {name: platform or ASSUMED for name, platform in known.items()}
    states = desired_state.states(experiment, inventory, platforms, root)
    planned = trials.trials(experiment, inventory, "RUN", states)
    if experiment.calibrate:
        tried = trials.first_try(experiment, inventory)
        begin = trials.calibration_trial(experiment, inventory, "RUN", states, 1, tried)
        planned = (begin, *trials.trials(experiment, inventory, "RUN", states, first=2))
    return Preview(
        experiment,
        planned,
        {trial.id: stages(inventory, trial) for trial in planned},
        {trial.id: states[trial.state] for trial in planned},
        tuple(name for name in known if known[name] is None),
    )


def stages(inventory: Inventory, trial: TrialPlan) -> tuple[Stage, ...]:
    """Every stage of a trial in order; `apply` and `watch` have no actions of their own."""
    return (
        *actions.opening(inventory, trial),
        Stage("apply", ()),
        *actions.starting(inventory, trial),
        *actions.loading(inventory, trial),
        Stage("watch", ((actions.load_state(inventory, trial),), actions.cpu_state(inventory, trial))),
        actions.drain(inventory, trial),
        *actions.closing(inventory, trial),
    )
