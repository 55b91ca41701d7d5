"""The stages of a trial, as values: everything `control.conduct` does to hosts but `apply`, which it converges.

    reset → open → apply → ready → warm → limit → load → (watch) → drain → stop → lift → seal

`opening`, `running` and `closing` give the stages before, during and after the load. All are pure: a TrialPlan and an
Inventory in, stages out; `inv plan` prints them without any ssh.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from loadproof.plan import faults, limiters, places
from loadproof.plan.shell import Raw, quote
from loadproof.plan.values import (
    MASTER_PORT,
    STATUS_PORT,
    Action,
    Await,
    Inventory,
    Put,
    Run,
    Stage,
    TrialPlan,
)

# Each of these waits ends with its condition: only a machine ten times slower than ours comes near them.
HEALTH_WITHIN_S = 60.0
LIMIT_WITHIN_S = 30.0
STOP_WITHIN_S = 60.0
SEAL_WITHIN_S = 60.0


def hosts_of(trial: TrialPlan) -> tuple[str, ...]:
    """Every host a trial touches, each once: loads, proxy, apps (also idle ones), watched ones."""
    names = (*trial.loads, trial.proxy, *trial.apps, *trial.idle_apps, *trial.watch)
    return tuple(dict.fromkeys(names))


def units(trial: TrialPlan, host: str) -> dict[str, str]:
    """The units on a host without which a load is no whole one, and what each is called."""
    found = {places.PROXY_UNIT: "nginx"} if host == trial.proxy else {}
    if host in trial.apps:
        found[places.APP_UNIT] = "the app"
    mine = [number for owner, number in trial.workers if owner == host]
    return found | {places.load_unit(number): f"Locust worker {number}" for number in mine}


def program(inventory: Inventory, host: str, name: str, *words: str) -> str:
    """The command that runs one of our host programs with the host's own Python."""
    return quote(inventory.host(host).python, "-I", "-S", f"{places.HOSTSIDE}/{name}.py", *words)


def target(inventory: Inventory, trial: TrialPlan) -> str:
    """The URL that Locust loads: the proxy's traffic address."""
    proxy = inventory.host(trial.proxy)
    return f"http://{proxy.address}:{proxy.port('proxy')}"


def backends(inventory: Inventory, trial: TrialPlan) -> list[str]:
    """The URLs of the arm's app servers, in upstream order."""
    return [
        f"http://{inventory.host(name).address}:{inventory.host(name).port('app')}" for name in trial.apps
    ]


def trial_json(inventory: Inventory, trial: TrialPlan, host: str, out: str = "") -> dict[str, Any]:
    """What /run/loadproof/trial.json tells the programs of one host; they write into `out`, by default the trial's."""
    load, alone = trial.load, len(trial.loads) == 1
    master = inventory.host(trial.loads[0])
    return {
        "format": 1,
        "run": trial.run,
        "trial": trial.id,
        "host": host,
        "out": out or places.trial_out(trial.run, trial.id),
        "deploy_id": trial.deploy_id,
        "deadline_s": trial.planned_s + trial.margin_s,
        "limiter": limiters.load(trial.limit.kind).trial_settings(trial.limit_at(host), places.APP_UNIT),
        "load": {
            "master_host": "127.0.0.1" if alone else master.address,
            "master_port": MASTER_PORT,
            "bind": "127.0.0.1" if alone else master.address,
            "workers": len(trial.workers),
            "target": target(inventory, trial),
            "table": [list(row) for row in load.table],
            "end_s": load.end_s,
            "users": load.users,
            "scenario": load.scenario,
            "timeout_s": load.timeout_s,
            "think_s": load.think_s,
            "seed": trial.seed,
            "rows": trial.serving.rows,
            "rate": load.rate,
            "arrivals": load.arrivals,
            "autostop": load.autostop,
        },
    }


# systemd answers "not loaded" (5) for a unit that was never installed; a bare host has none of ours yet.
_STOPPED = (0, 5)


def _stop(host: str, name: str, *units: str) -> Run:
    return Run(host, name, quote("systemctl", "stop", *units), within=STOP_WITHIN_S, ok=_STOPPED)


def reset(inventory: Inventory, trial: TrialPlan) -> Stage:
    """Stops load, limiter, sampler, then app and proxy, on every host: in every trial, whatever ran before."""
    hosts = hosts_of(trial)
    ours = quote("systemctl", "stop", "loadproof-load@*", "loadproof-sample*", "loadproof-limit*")
    # The limit is off before the app is told to stop: an app under cpulimit ends slowly, or not at all.
    served = quote("systemctl", "stop", "loadproof-app*", "loadproof-proxy*")
    forget = quote("systemctl", "reset-failed", "loadproof-*")
    return Stage(
        "reset",
        (
            tuple(Run(host, "load.stop", ours, within=STOP_WITHIN_S, ok=_STOPPED) for host in hosts),
            tuple(
                Run(
                    host,
                    "app.stop",
                    quote(Raw(served), Raw("; code=$?;"), Raw(forget), Raw("2>/dev/null; exit $code")),
                    within=STOP_WITHIN_S,
                    ok=_STOPPED,
                )
                for host in hosts
            ),
        ),
    )


def opened(inventory: Inventory, trial: TrialPlan) -> Stage:
    """Makes the trial's folder on every host, turns `current` to it and tells the programs what the trial is."""
    out = places.trial_out(trial.run, trial.id)
    # what a first try of this very trial left, which ended before its load: programs would append to it
    fresh = quote("rm", "-rf", out, out + places.FETCHED)
    make = quote("mkdir", "-p", out, places.IDLE, places.RUN)
    turn = quote("ln", "-sfn", out, places.CURRENT)
    # what programs wrote while there was no trial; all of them are stopped now
    forget = quote("find", places.IDLE, "-type", "f", "-delete")
    told = told_of(inventory, trial, hosts_of(trial), out)
    folders = [Run(host, "folder", f"{fresh} && {make} && {turn} && {forget}") for host in hosts_of(trial)]
    return Stage("open", (tuple(folders), told))


def told_of(inventory: Inventory, trial: TrialPlan, hosts: Sequence[str], out: str) -> tuple[Action, ...]:
    """Tells hosts what the trial is, where their programs write, and when they end by themselves."""
    told: list[Action] = []
    for host in hosts:
        text = json.dumps(trial_json(inventory, trial, host, out), indent=1) + "\n"
        told.append(Put(host, "trial.json", places.TRIAL_JSON, text))
    limit = f"[Service]\nRuntimeMaxSec={trial.planned_s + trial.margin_s:.0f}\n"
    bounded = (places.LIMIT_UNIT, places.SAMPLE_UNIT, "loadproof-load@.service")
    folders_d = [f"{places.RUNTIME_UNITS}/{unit}.d" for unit in bounded]
    confs = [f"{folder}/trial.conf" for folder in folders_d]
    bound = quote(
        "mkdir", "-p", *folders_d, Raw("&&"), "tee", *confs, Raw(">/dev/null && systemctl daemon-reload")
    )
    return (*told, *(Run(host, "deadline", bound, stdin=limit) for host in hosts))


def ready(inventory: Inventory, trial: TrialPlan) -> Stage:
    """Each backend answers the proxy host, then nginx answers once; then the samplers start."""

    def answers(url: str, name: str, condition: str) -> Await:
        question = {"targets": [url], "requests": 1, "path": "/healthz", "worker": 0xFFF1}
        return Await(
            trial.proxy,
            name,
            condition,
            program(inventory, trial.proxy, "warm", json.dumps(question)),
            within=HEALTH_WITHIN_S,
        )

    direct = [
        answers(url, f"ready.{app}", f"{app} answers the proxy host at {url}")
        for app, url in zip(trial.apps, backends(inventory, trial), strict=True)
    ]
    url = target(inventory, trial)
    through = answers(url, "ready.proxy", f"nginx answers at {url}")
    samplers = tuple(
        Run(host, "sample.start", quote("systemctl", "start", places.SAMPLE_UNIT)) for host in hosts_of(trial)
    )
    return Stage("ready", (tuple(direct), (through,), samplers))


def warm(inventory: Inventory, trial: TrialPlan) -> Stage:
    """Sends `warm_requests` to each backend from the proxy host, before any limit."""
    question = {"targets": backends(inventory, trial), "requests": trial.warm_requests, "path": "/items/0"}
    command = program(inventory, trial.proxy, "warm", json.dumps(question))
    return Stage("warm", ((Run(trial.proxy, "warm", command, within=120.0, keep=True),),))


def limit(inventory: Inventory, trial: TrialPlan) -> Stage:
    """Starts the limiter's supervisor on every app host of the arm and waits until it says what is in force."""
    start = tuple(
        Run(app, "limit.start", quote("systemctl", "start", places.LIMIT_UNIT)) for app in trial.apps
    )
    hold = tuple(
        Await(
            app,
            "limit.attached",
            f"the {trial.limit.kind} limiter on {app} says that it is attached",
            program(inventory, app, "limit", "status", "--attached"),
            within=LIMIT_WITHIN_S,
        )
        for app in trial.apps
    )
    return Stage("limit", (start, hold))


def load(inventory: Inventory, trial: TrialPlan) -> Stage:
    """Starts the master and its workers, one command per load host."""
    starts: list[Action] = []
    for index, host in enumerate(trial.loads):
        units = [places.load_unit("master")] if index == 0 else []
        units += [places.load_unit(number) for owner, number in trial.workers if owner == host]
        if units:  # a load host may have no worker: there may be fewer processes than load hosts
            starts.append(Run(host, "load.start", quote("systemctl", "start", *units), within=60.0))
    return Stage("load", (tuple(starts),))


def load_state(inventory: Inventory, trial: TrialPlan) -> Run:
    """One question to the master's host: is the load over, and the newest line of its live figures."""
    # `is-active` prints "inactive" and exits 3 once the master has ended: that is an answer, not a failure. The line is
    # sought in the trial's own folder: `current` leads elsewhere once the host is sealed.
    command = quote(
        Raw("systemctl is-active"),
        places.load_unit("master"),
        Raw("; tail -n 1"),
        f"{places.trial_out(trial.run, trial.id)}/live.jsonl",
        Raw("2>/dev/null; true"),
    )
    return Run(trial.loads[0], "load.state", command, within=15.0)


def cpu_state(inventory: Inventory, trial: TrialPlan) -> tuple[Run, ...]:
    """One question to each app host of the arm: its newest sample, for the live view."""
    command = quote("tail", "-n", "1", f"{places.CURRENT}/sample.jsonl")
    return tuple(Run(app, "cpu.state", command, within=5.0, ok=(0, 1)) for app in trial.apps)


def drain(inventory: Inventory, trial: TrialPlan) -> Stage:
    """Waits until nothing is in flight at nginx and the apps, at most the client's timeout + 5 s."""
    within = trial.load.timeout_s + 5
    questions = {app: {"app": inventory.host(app).port("app"), "within": within} for app in trial.apps}
    waits: list[Action] = [
        Run(
            app,
            "drain",
            program(inventory, app, "idle", json.dumps(question)),
            within=within + 10,
            ok=(0, 3),
            keep=True,
        )
        for app, question in questions.items()
    ]
    question = {"status": STATUS_PORT, "within": within}
    waits.append(
        Run(
            trial.proxy,
            "drain",
            program(inventory, trial.proxy, "idle", json.dumps(question)),
            within=within + 10,
            ok=(0, 3),
            keep=True,
        )
    )
    return Stage("drain", (tuple(waits),))


def stop(inventory: Inventory, trial: TrialPlan) -> Stage:
    """Stops what is left of the load."""
    return Stage("stop", (tuple(_stop(host, "load.stop", "loadproof-load@*") for host in trial.loads),))


def lift(inventory: Inventory, trial: TrialPlan) -> Stage:
    """Stops the limiters, lets every app continue, stops the samplers."""
    lifted = tuple(
        Run(
            app,
            "limit.lift",
            quote(
                "systemctl",
                "stop",
                places.LIMIT_UNIT,
                Raw(";"),
                Raw(program(inventory, app, "limit", "lift")),
            ),
            within=STOP_WITHIN_S,
        )
        for app in trial.apps
    )
    samplers = tuple(_stop(host, "sample.stop", places.SAMPLE_UNIT) for host in hosts_of(trial))
    return Stage("lift", (lifted, samplers))


def seal(inventory: Inventory, trial: TrialPlan) -> Stage:
    """On each host: rotate, wait until nobody writes, and write the manifest of sizes and hashes."""
    sealed = []
    for host in hosts_of(trial):
        question = {
            "run": trial.run,
            "trial": trial.id,
            "host": host,
            "out": places.trial_out(trial.run, trial.id),
        }
        command = program(inventory, host, "seal", json.dumps(question))
        sealed.append(Run(host, "seal", command, within=SEAL_WITHIN_S, keep=True))
    return Stage("seal", (tuple(sealed),))


def opening(inventory: Inventory, trial: TrialPlan) -> tuple[Stage, ...]:
    """The stages before the hosts are converged to the arm's desired state."""
    return (reset(inventory, trial), opened(inventory, trial))


def starting(inventory: Inventory, trial: TrialPlan) -> tuple[Stage, ...]:
    """The stages from the converged hosts to the warm app."""
    return (ready(inventory, trial), warm(inventory, trial))


def loading(inventory: Inventory, trial: TrialPlan) -> tuple[Stage, ...]:
    """From here on `closing` runs whatever happens."""
    return (limit(inventory, trial), load(inventory, trial))


def closing(inventory: Inventory, trial: TrialPlan) -> tuple[Stage, ...]:
    """Stop, lift, seal: always, each guarded by itself; safe to repeat. What a rehearsal broke is undone first."""
    return (
        *faults.undo(inventory, trial),
        stop(inventory, trial),
        lift(inventory, trial),
        seal(inventory, trial),
        *faults.restore(inventory, trial),
    )
