"""The trials of an experiment: each one arm run once, decided before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from loadproof.errors import BadInput, Problem
from loadproof.plan import blocks, calibration, levels, limiters, timeouts
from loadproof.plan.values import Arm, Experiment, Host, Inventory, Serving, States, TrialPlan

# From the first sampler to the lifted limit, the planned load itself aside: warm-up, limit, start of Locust and its
# workers, drain, facts. 10 s here, 80 s seen on an emulated machine. A unit that is killed by its own deadline spoils
# the trial; a long one costs nothing but where nobody comes back.
STARTING_S = 120.0
PER_WORKER_S = 0.5
REPEAT = "repeat of "  # with the id of a trial: how what is said of its repeat begins
CUT_SHORT = "it was ended before its load was over"  # why a trial is repeated that is no measurement


def enough_servers(experiment: Experiment, inventory: Inventory) -> None:
    """Raises BadInput when an arm asks for more servers than there are app hosts."""
    apps = inventory.group("app")
    names = ", ".join(host.name for host in apps)
    count = f"{len(apps)} host{'' if len(apps) == 1 else 's'}"
    problems = [
        Problem(
            f"{level} servers asked, but group app of {inventory.path} has {count} ({names})", "--servers"
        )
        for level in dict.fromkeys(arm.servers for arm in experiment.arms)
        if level > len(apps)
    ]
    if problems:
        raise BadInput(
            problems, next="add hosts to the inventory (the lab: ./inv lab.up --app N), or ask for fewer"
        )


def spread(hosts: tuple[Host, ...], processes: int) -> tuple[tuple[str, int], ...]:
    """Locust workers 1 to `processes` over the load hosts in turn: (host, worker)."""
    return tuple((hosts[index % len(hosts)].name, index + 1) for index in range(processes))


def margin(processes: int, timeout_s: float) -> float:
    """Seconds from the planned end of a load to the deadline at which hosts end it by themselves."""
    return STARTING_S + PER_WORKER_S * processes + timeout_s + timeouts.DRAIN_EXTRA_S


@dataclass(frozen=True)
class Placed:
    """An arm in a block: the app hosts that serve it."""

    arm: Arm
    block: int
    apps: tuple[str, ...]

    @property
    def state(self) -> tuple[Serving, tuple[str, ...]]:
        """What its desired state is made of, beside the hosts: trials that share it find their hosts as they must be."""
        return self.arm.serving, self.apps


def placed(experiment: Experiment, inventory: Inventory) -> tuple[Placed, ...]:
    """Every trial of an experiment in the order in which it is run. Raises BadInput (enough_servers)."""
    enough_servers(experiment, inventory)
    apps = [host.name for host in inventory.group("app")]
    arms = experiment.arms
    # one block is no experiment yet: its arms are run in the order in which they were asked for
    one = (tuple(range(len(arms))),)
    orders = blocks.orders(len(arms), experiment.blocks, experiment.seed) if experiment.blocks > 1 else one
    return tuple(
        Placed(
            arms[index],
            block,
            blocks.serving(apps, arms[index].servers, blocks.turn(orders, block, len(apps))),
        )
        for block, order in enumerate(orders, start=1)
        for index in order
    )


def trials(
    experiment: Experiment,
    inventory: Inventory,
    run: str,
    states: States,
    first: int = 1,
    limit_set: Sequence[tuple[str, float]] = (),
) -> tuple[TrialPlan, ...]:
    """Every trial, numbered from `first` (of a search for a capacity the first one); `states`: the desired states that
    they need; `limit_set`: what a calibration found for each server. Raises BadInput (enough_servers)."""
    made = tuple(
        _limited(_trial(experiment, inventory, run, one, states[one.state].deploy_id, number), limit_set)
        for number, one in enumerate(placed(experiment, inventory), start=first)
    )
    asked = experiment.capacity
    return made if asked is None else tuple(levels.first(asked, one) for one in made)


def _limited(trial: TrialPlan, limit_set: Sequence[tuple[str, float]]) -> TrialPlan:
    mine = tuple((host, setting) for host, setting in limit_set if host in trial.apps)
    if not mine:
        return trial
    said = limiters.load(trial.limit.kind).said
    gave = ", ".join(f"{host} {said(setting)}" for host, setting in mine)
    return replace(trial, limit_set=mine, because=f"{trial.because}; calibration gave {gave}")


def calibrating(experiment: Experiment, inventory: Inventory) -> Placed:
    """How a calibration is run: as the arm with the most servers, on all the servers that any arm has."""
    apps = [host.name for host in inventory.group("app")]
    arm = max(experiment.arms, key=lambda one: one.servers or len(apps))
    used = {name for one in placed(experiment, inventory) for name in one.apps}
    return Placed(arm, 1, tuple(name for name in apps if name in used))


def calibration_trial(
    experiment: Experiment,
    inventory: Inventory,
    run: str,
    states: States,
    number: int,
    tried: calibration.Try,
) -> TrialPlan:
    """Calibration trial `number` (from 1): full load on every server, each limiter set as `tried` says."""
    one = calibrating(experiment, inventory)
    limit = one.arm.limit
    said = limiters.load(limit.kind).said
    load = calibration.load(one.arm.load, len(one.apps), limit.percent)
    full = replace(one, arm=replace(one.arm, load=load))
    trial = _trial(experiment, inventory, run, full, states[one.state].deploy_id, number)
    return replace(
        trial,
        arm="calibration",
        purpose="calibration",
        limit_set=tried.settings,
        because=calibration.because(number, tried, {host: said(one) for host, one in tried.settings}),
    )


def first_try(experiment: Experiment, inventory: Inventory) -> calibration.Try:
    """What a calibration begins with: every server set to what was asked."""
    one = calibrating(experiment, inventory)
    scale = limiters.load(one.arm.limit.kind).scale
    assert scale is not None, "plan.arms refuses to calibrate such a limiter"
    tried = calibration.following(one.arm.limit.percent, dict.fromkeys(one.apps, ()), 0, scale)
    assert tried is not None
    return tried


def _trial(
    experiment: Experiment, inventory: Inventory, run: str, one: Placed, deploy_id: str, number: int
) -> TrialPlan:
    arm, load = one.arm, one.arm.load
    apps = tuple(host.name for host in inventory.group("app"))
    loads = inventory.group("load")
    return TrialPlan(
        run=run,
        id=f"{number:02d}",
        arm=arm.label,
        factors=arm.factors,
        block=one.block,
        because=f"block {one.block}",
        apps=one.apps,
        idle_apps=tuple(name for name in apps if name not in one.apps),
        proxy=inventory.group("proxy")[0].name,
        loads=tuple(host.name for host in loads),
        watch=tuple(host.name for host in inventory.group("watch")),
        load=load,
        workers=spread(loads, load.processes),
        limit=arm.limit,
        serving=arm.serving,
        seed=experiment.seed,
        warm_requests=experiment.warm_requests,
        deploy_id=deploy_id,
        timeouts=timeouts.chain(load.timeout_s),
        planned_s=load.end_s,
        margin_s=margin(load.processes, load.timeout_s),
        steal=experiment.steal,
    )


def repeat(trial: TrialPlan, number: int, why: str) -> TrialPlan:
    """A trial whose conditions did not hold, once more, as trial `number`."""
    return replace(trial, id=f"{number:02d}", because=f"{REPEAT}{trial.id}: {why}")


def stands_for(trial: TrialPlan, plans: Mapping[str, TrialPlan]) -> str:
    """The id of the trial in whose place this one is run: of what it repeats, and what that repeats in turn; its own where
    it repeats none. `plans` by id."""
    for _ in plans:
        if (before := plans.get(repeats(trial))) is None:
            break
        trial = before
    return repeats(trial) or trial.id


def repeats(trial: TrialPlan) -> str:
    """The id of the trial that this one repeats; empty for none."""
    return _repeats(trial.because)[0]


def cut_short(because: str) -> str:
    """The id of the trial in whose place one is run `because` that was ended before its load was over; empty for none."""
    id, why = _repeats(because)
    return id if why == CUT_SHORT else ""


def _repeats(because: str) -> tuple[str, str]:
    """(id, why) of what is repeated."""
    id, _, why = because.removeprefix(REPEAT).partition(": ")
    return (id, why) if because.startswith(REPEAT) else ("", "")
