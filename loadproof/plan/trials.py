"""The trials of an experiment: one arm run once each, decided before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from loadproof.errors import BadInput, Problem
from loadproof.plan import calibration, limiters, timeouts
from loadproof.plan.values import Experiment, Host, Inventory, TrialPlan

# From the first sampler to the lifted limit, the planned load itself aside: warm-up, limit, start of Locust and its
# workers, drain, facts. 10 s here, 80 s seen on an emulated machine. A unit that is killed by its own deadline spoils
# the trial; a long one costs nothing but where nobody comes back.
STARTING_S = 120.0
PER_WORKER_S = 0.5


def enough_servers(experiment: Experiment, inventory: Inventory) -> None:
    """Raises BadInput when an arm asks for more servers than there are app hosts."""
    apps = inventory.group("app")
    names = ", ".join(host.name for host in apps)
    count = f"{len(apps)} host{'' if len(apps) == 1 else 's'}"
    problems = [
        Problem(
            f"{level} servers asked, but group app of {inventory.path} has {count} ({names})", "--servers"
        )
        for level in experiment.servers
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


def trials(
    experiment: Experiment,
    inventory: Inventory,
    run: str,
    deploy_ids: Mapping[int, str],
    first: int = 1,
    limit_set: Sequence[tuple[str, float]] = (),
) -> tuple[TrialPlan, ...]:
    """One trial per arm, in the order given, numbered from `first`; `deploy_ids` by number of servers; `limit_set`: what
    a calibration found for each server. Raises BadInput (enough_servers)."""
    enough_servers(experiment, inventory)
    planned = (
        _trial(experiment, inventory, run, deploy_ids[servers], number, servers)
        for number, servers in enumerate(experiment.servers, start=first)
    )
    return tuple(_limited(trial, limit_set) for trial in planned)


def _limited(trial: TrialPlan, limit_set: Sequence[tuple[str, float]]) -> TrialPlan:
    mine = tuple((host, setting) for host, setting in limit_set if host in trial.apps)
    if not mine:
        return trial
    said = limiters.load(trial.limit.kind).said
    gave = ", ".join(f"{host} {said(setting)}" for host, setting in mine)
    return replace(trial, limit_set=mine, because=f"{trial.because}; calibration gave {gave}")


def calibration_servers(experiment: Experiment) -> int:
    """A calibration is done with all the servers that any arm has, at once."""
    return max(experiment.servers)


def calibration_trial(
    experiment: Experiment,
    inventory: Inventory,
    run: str,
    deploy_ids: Mapping[int, str],
    number: int,
    tried: calibration.Try,
) -> TrialPlan:
    """Calibration trial `number` (from 1): full load on every server, each limiter set as `tried` says."""
    servers = calibration_servers(experiment)
    said = limiters.load(experiment.limit.kind).said
    load = calibration.load(experiment.load, servers, experiment.limit.percent)
    trial = _trial(replace(experiment, load=load), inventory, run, deploy_ids[servers], number, servers)
    return replace(
        trial,
        arm="calibration",
        purpose="calibration",
        limit_set=tried.settings,
        because=calibration.because(number, tried, {host: said(one) for host, one in tried.settings}),
    )


def first_try(experiment: Experiment, inventory: Inventory) -> calibration.Try:
    """What a calibration begins with: every server set to what was asked."""
    apps = inventory.group("app")[: calibration_servers(experiment)]
    scale = limiters.load(experiment.limit.kind).scale
    assert scale is not None, "plan.experiment refuses to calibrate such a limiter"
    tried = calibration.following(experiment.limit.percent, {host.name: () for host in apps}, 0, scale)
    assert tried is not None
    return tried


def _trial(
    experiment: Experiment, inventory: Inventory, run: str, deploy_id: str, number: int, servers: int
) -> TrialPlan:
    load = experiment.load
    apps = tuple(host.name for host in inventory.group("app"))
    loads = inventory.group("load")
    count = servers or len(apps)
    return TrialPlan(
        run=run,
        id=f"{number:02d}",
        arm=f"servers={count}",
        factors=(("servers", count),),
        block=1,
        because="block 1",
        apps=apps[:count],
        idle_apps=apps[count:],
        proxy=inventory.group("proxy")[0].name,
        loads=tuple(host.name for host in loads),
        watch=tuple(host.name for host in inventory.group("watch")),
        load=load,
        workers=spread(loads, load.processes),
        limit=experiment.limit,
        variant=experiment.variant,
        rows=experiment.rows,
        seed=experiment.seed,
        warm_requests=experiment.warm_requests,
        deploy_id=deploy_id,
        timeouts=timeouts.chain(load.timeout_s),
        planned_s=load.end_s,
        margin_s=margin(load.processes, load.timeout_s),
    )
