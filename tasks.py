"""The words of `inv`: parse (all parameters are strings), call one function, print what console made of it."""

from __future__ import annotations

import errno
import functools
import io
import json
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.main import program
from invoke.tasks import task

if TYPE_CHECKING:
    from invoke.parser.context import ParserContext

    from loadproof.campaign.bench import Watcher as WatcherType
    from loadproof.control.conduct import Live
    from loadproof.plan.values import Experiment, Inventory, TrialPlan
    from loadproof.runfolder.paths import RunFolder

# Invoke turns this on for its loader; our own modules should be compiled once, not at each start.
sys.dont_write_bytecode = False


def repeated(words: list[str]) -> list[str]:
    """`report A -1 --run B` as `report --run=A --run=-1 --run=B`, `rehearse A` as `rehearse --turn=A`, `experiment A` as
    `experiment --name=A`: Invoke has no words that repeat or may be missing, only flags."""
    flags = {"rehearse": "turn", "experiment": "name", "rerun": "run", "share": "run"}
    if words and words[0] in flags:
        return [words[0], *_as_flags(words[1:], flags[words[0]])]
    if not words or words[0] not in ("report", "analyse", "variance"):
        return words
    said, rest = [words[0]], iter(words[1:])
    for word in rest:
        run = next(rest, None) if word == "--run" else word
        plain = run is not None and (word == "--run" or not run.startswith("-") or run[1:].isdigit())
        said.append(f"--run={run}" if plain else word)
    return said


def _as_flags(words: list[str], flag: str) -> Iterator[str]:
    """The words that are no flag, and no flag's value, as values of a flag."""
    value = False
    for word in words:
        yield word if value or word.startswith("-") else f"--{flag}={word}"
        value = word in ("-i", "--inventory", "--group", "--turn", "--name", "--run", "--set", "--repeats")


# Invoke loads this file after it has set its own flags apart, and before it reads the words of a task.
if hasattr(program, "core"):
    program.core.unparsed[:] = repeated(program.core.unparsed)

ROOT = Path(__file__).resolve().parent
RESULTS = Path(os.environ.get("LOADPROOF_RESULTS") or ROOT / "results")
LAB_INVENTORY = ROOT / "inventory" / "lab.yml"

INVENTORY_HELP = {
    "inventory": "Ansible inventory: a YAML file, or anything ansible-inventory reads",
    "i": "the same as --inventory",
    "group": "map a group of ours to one of yours: app=web,load=generators",
}
LOAD_HELP = {
    "servers": "how many app hosts serve, the first ones of the group (default 1; deploy: all)",
    "vusers": "virtual users, turned into processes x threads by nGrinder's rule (default 100)",
    "processes": "Locust workers, instead of --vusers",
    "threads": "users in each worker, instead of --vusers",
    "ramp": "what a step adds to: users, thread (of each process) or process (default users)",
    "initial": "users of the first step (default: as step)",
    "step": "users added at each step (default: an eleventh of all)",
    "interval": "time between steps (default 5s)",
    "settle": "time after the last step before the window begins (default 5s)",
    "hold": "length of the window (default 30s)",
    "duration": "length of the whole load, instead of --hold: 10m, for example",
    "think": "time a user waits between requests: 150ms, for example (default 0)",
    "rate": "an open load instead of users in a closed loop: 200/s, 0.5/s or 60/m requests, whatever became of those before; --vusers is then how many may be on their way at once (default: rate x timeout and some)",
    "arrivals": "when requests of --rate are due: poisson or even (default poisson)",
    "autostop": "end the load early by a rule: ngrinder (more than half of all requests failed, for 10 s) or none (default none)",
    "timeout": "one deadline over connect, send and the whole answer (default 10s)",
    "cpu_limit": "percent of one CPU for each server's app (default 5)",
    "limiter": "cpulimit, quota or none (default cpulimit)",
    "calibrate": "first find what each limiter must be set to for that percent, about 3 minutes (default no)",
    "variant": "of the app: plain, local, local_async, global, global_async (default plain)",
    "scenario": "what the users do (default items)",
    "rows": "rows of the data file (default 10000)",
    "steal": "percent of the hosts' CPU that the machine below them may keep for itself; more makes a trial INVALID (default 2, at most 8)",
    "name": "name of the run (default bench)",
    "note": "a remark that stays with the run",
}


def say(text: str = "") -> None:
    """Talk goes to stderr, data to stdout; what hosts said may be in it."""
    from loadproof.console.text import escape

    try:
        print(escape(text), file=sys.stderr, flush=True)
    except OSError:  # nobody reads it any more (`| head`, a closed terminal): what is being done goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def give(text: str) -> None:
    """Data goes to stdout. Raises LocalDisk where that takes no more; whoever reads it may have seen enough."""
    from loadproof.runfolder import disk

    try:
        print(text, flush=True)
    except OSError as error:
        # the interpreter must not try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno in (errno.EPIPE, errno.EIO):  # `| head`: end as other programs do, without a word
            raise Exit(code=141) from None
        raise disk.output_trouble(error) from error


def word(**options: Any) -> Callable[[Callable[..., None]], Any]:
    """An Invoke task whose errors become the four-part message and the exit codes of design.md."""

    def wrap(function: Callable[..., None]) -> Any:
        named = function.__name__.removesuffix("_word").replace("lab_", "lab.").replace("_", "-")

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            from loadproof.console import text
            from loadproof.control import signals
            from loadproof.errors import LoadproofError
            from loadproof.runfolder import disk

            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, io.TextIOWrapper):
                    # data and talk keep their order where both go into one file; what that cannot spell is escaped
                    stream.reconfigure(line_buffering=True, errors="backslashreplace")
            try:
                refuse_unclear(getattr(program, "tasks", ()))
                with signals.ending(named):
                    function(*args, **kwargs)
            except LoadproofError as error:
                inventory = kwargs.get("inventory") or kwargs.get("i") or ""
                say(text.error(error, inventory, kwargs.get("group") or ""))
                raise Exit(code=error.exit_code) from error
            except (Exit, SystemExit):
                raise
            except Exception as error:
                if problem := disk.trouble(error):
                    say(text.error(problem))
                    raise Exit(code=problem.exit_code) from error
                traceback.print_exc()
                say(
                    f"error: {type(error).__name__}: {text.escape(error)}\nwhere: loadproof itself; this is our fault"
                    "\nkept:  whatever was done until then\nnext:  ./inv status, and please report the lines above"
                )
                raise Exit(code=70) from error

        return task(auto_shortflags=False, **options)(guarded)

    return wrap


def flags(values: Mapping[str, Any]) -> dict[str, str]:
    """The flags that were given, with the names a person typed."""
    return {
        name.replace("_", "-"): str(value) for name, value in values.items() if value not in (None, "", False)
    }


def refuse_unclear(words: Iterable[ParserContext]) -> None:
    """Raises BadInput for a flag with nothing behind it, which would mean its default, and for two inventories."""
    from loadproof.errors import BadInput, Problem

    problems: list[Problem] = []
    for one in words:
        for argument in one.args.values():
            values = argument.value if argument.kind is list else [argument.value]
            if argument.got_value and any(isinstance(value, str) and not value.strip() for value in values):
                flag = "-i" if argument.name == "i" else f"--{argument.name}"
                problems.append(Problem("an empty value (of an unset variable?)", flag))
        if all(name in one.args and one.args[name].got_value for name in ("i", "inventory")):
            problems.append(Problem("two inventories: the one is as good as the other", "-i, --inventory"))
    if problems:
        raise BadInput(problems, next="leave the flag out, or give it a value, once; then the same command")


def command_line() -> list[str]:
    """The words as typed, for the record."""
    words = sys.argv[3:] if sys.argv[1:2] == ["--search-root"] else sys.argv[1:]  # `inv` adds that one
    return ["./inv", *words]


def agreed(question: str, by_default: bool = True) -> bool:
    """Asks on a terminal; without one goes on. The end of the input is a no."""
    if not sys.stdin.isatty():
        return True
    say(question + (" [Y/n]" if by_default else " [y/N]"))
    try:
        answer = input().strip().lower()
    except EOFError:
        return False
    return answer in ("y", "yes") or (by_default and not answer)


def inventory_path(given: str) -> Path:
    """-i, else $LOADPROOF_INVENTORY, else inventory/hosts.yml, else the lab."""
    for path in (given, os.environ.get("LOADPROOF_INVENTORY", "")):
        if path:
            return LAB_INVENTORY if Path(path).resolve() == LAB_INVENTORY else Path(path)
    own = ROOT / "inventory" / "hosts.yml"
    return own if own.exists() else LAB_INVENTORY


def open_inventory(
    given: str, group: str, bring_up: bool = False, planned: Callable[[Inventory], None] | None = None
) -> Inventory:
    """Reads the inventory, naming it first; the lab is brought up only by demo, deploy and bench.

    `planned` is told what hosts the lab will have before anything is made, and raises when they will not do.
    """
    from loadproof.control import inventory
    from loadproof.plan.flags import groups

    path = inventory_path(given)
    say(f"inventory: {path}" + (" (the lab)" if path == LAB_INVENTORY else ""))
    if path == LAB_INVENTORY:
        if bring_up:
            lab_up(planned=planned)
        else:
            need_lab()
    known = inventory.read(path, groups(group), traffic=bring_up)
    for note in known.notes:
        say(f"note: {note}")
    return known


def all_answered(answers: Mapping[str, Any], inventory: str, group: str) -> None:
    """Ends with the error of every host that did not do what it was asked, if there is one."""
    from loadproof.console import text
    from loadproof.errors import LoadproofError

    errors = [answer for answer in answers.values() if isinstance(answer, LoadproofError)]
    for error in errors:
        say(text.error(error, inventory, group))
    if errors:
        raise Exit(code=errors[0].exit_code)


def lab_up(
    app: int | None = None, load: int | None = None, planned: Callable[[Inventory], None] | None = None
) -> None:
    """Brings the lab up, after saying what that installs and makes."""
    from lab import up
    from loadproof.plan.values import Host, Inventory

    needs = up.needed(app=app, load=load)
    if planned is not None:
        hosts = tuple(Host(one.name, (one.role,), one.address) for one in needs.all_hosts)
        planned(Inventory(str(LAB_INVENTORY), hosts))
    missing = needs.lines()
    if missing:
        say("the lab (local hosts on this machine) is down or not whole; bringing it up will:")
        for line in missing:
            say(f"  {line}")
        if not agreed("Go on?"):
            raise Exit("nothing was touched", code=4)
    state = up.up(app=app, load=load, say=lambda text: say(f"  {text}"))
    say(f"lab: {len(state.hosts)} hosts answer on {state.bridge} ({state.net})")


def need_lab() -> None:
    """Some host of the lab must live; what is wrong with the others is said. Raises LabUnavailable."""
    from lab import status
    from loadproof.errors import LabUnavailable

    state = status.status()
    if not any(host.pid for host in state.hosts) or not LAB_INVENTORY.exists():
        theirs = f"; the lab on this machine is of {state.owner}" if state.owner and not state.hosts else ""
        what = "the lab is not whole" if any(host.pid for host in state.hosts) else "the lab is down"
        raise LabUnavailable(
            what + theirs, where=str(LAB_INVENTORY), kept="nothing was touched", next="./inv lab.up"
        )
    for host in state.hosts:
        if host.trouble:
            say(f"note: {host.host.name}: {host.trouble}")


@contextmanager
def lab_that_lives(hosts: Inventory) -> Iterator[None]:
    """Where hosts of the lab cannot be reached because it is down, that is said instead."""
    from loadproof.errors import HostUnreachable

    try:
        yield
    except HostUnreachable:
        if Path(hosts.path).resolve() == LAB_INVENTORY:
            need_lab()
        raise


def watcher(stream_is_terminal: bool, last: list[Live] | None = None) -> WatcherType:
    """Prints what happens while trials run; where the output is no terminal, a line each few seconds. `last` gets all
    that was seen live of the last trial."""
    from loadproof.campaign.bench import Watcher
    from loadproof.console import trial as show

    every, view = (2.0 if stream_is_terminal else 5.0), {"next": 0.0, "headed": 0.0}

    def trial(plan: TrialPlan, index: int, total: int) -> None:
        if last is not None:
            last.clear()
        view.update({"next": 0.0, "headed": 0.0})
        say("\n" + show.trial_line(plan, index, total))

    def live(figures: Live) -> None:
        if last is not None:
            last.append(figures)
        if figures.elapsed_s < view["next"]:
            return
        if not view["headed"]:
            say(show.live_header([name for name, _ in figures.cpu_percent]))
        view.update({"next": figures.elapsed_s + every, "headed": 1.0})
        say(show.live_line(figures))

    return Watcher(say=lambda text: say(f"  {text}"), trial=trial, live=live)


def finish(results: Mapping[str, Any], report: Path, as_json: bool) -> None:
    """The summary, or results.json on stdout; then where the report is. Exits 2 unless the run is VALID, 99 when it is and
    a threshold failed."""
    from loadproof.console import summary

    if as_json:
        give(json.dumps(results, indent=2))
    else:
        give(summary.summary(results))
    say(f"\nreport: {report}")
    if results["verdict"] != "VALID":
        raise Exit(code=2)
    if not all(one["passed"] for one in results.get("thresholds", ())):  # an earlier loadproof wrote none
        raise Exit(code=99)


@word(help={**INVENTORY_HELP, **{name: LOAD_HELP[name] for name in ("limiter", "calibrate")}})
def demo(
    context: Context,
    inventory: str = "",
    i: str = "",
    group: str = "",
    limiter: str = "",
    calibrate: bool = False,
) -> None:
    """The experiment `quick`, on local hosts: does a second server raise throughput? Report and verdict in minutes."""
    from loadproof.plan import experiment

    asked = experiment.named("quick", flags({"limiter": limiter, "calibrate": calibrate, "name": "demo"}))
    hosts = open_inventory(inventory or i, group, bring_up=True)
    conduct_experiment(asked, hosts)


def conduct_experiment(asked: Experiment, hosts: Inventory) -> None:
    """Runs an experiment, after saying what that will be, and ends with its summary."""
    _, results, report = carried_out(asked, hosts)
    finish(results, report, as_json=False)


def carried_out(asked: Experiment, hosts: Inventory) -> tuple[RunFolder, Mapping[str, Any], Path]:
    """Runs an experiment, after saying what that will be: its folder, results and report."""
    from loadproof.campaign import capacity as capacities
    from loadproof.campaign import collect
    from loadproof.campaign import experiment as experiments
    from loadproof.console import capacity as show_search
    from loadproof.console import experiment as show
    from loadproof.control import signals

    say(show_search.before(asked) if asked.capacity else show.before(asked, hosts))
    room = capacities if asked.capacity else experiments
    folder = room.run(asked, hosts, ROOT, RESULTS, command_line(), watcher(sys.stderr.isatty()))
    say("\nfetching and analysing ...")
    with signals.ending(
        asked.name, kept=f"run {folder.id}, sealed", next=f"./inv fetch-results --run {folder.id}"
    ):
        return folder, *collect.fetch_and_analyse(folder, hosts)


@word(
    help={
        **INVENTORY_HELP,
        **{name: LOAD_HELP[name] for name in ("servers", "variant", "rows")},
        "check": "show what would change, touch nothing",
        "diff": "show the text of files before and after",
        "hosts": "only these hosts, comma separated",
        "packages_from": "a folder of packages on the hosts to install missing ones from",
    }
)
def deploy(
    context: Context,
    inventory: str = "",
    i: str = "",
    group: str = "",
    servers: str = "",
    variant: str = "",
    rows: str = "",
    check: bool = False,
    diff: bool = False,
    hosts: str = "",
    packages_from: str = "",
) -> None:
    """Bring every host to its desired state: app on the backends, nginx in front, load host ready."""
    from loadproof.campaign import deploy as deploys
    from loadproof.console import deploy as show
    from loadproof.console import text
    from loadproof.plan import experiment
    from loadproof.plan.flags import listed

    asked = experiment.deployment(flags({"servers": servers, "variant": variant, "rows": rows}))
    only = listed("--hosts", hosts)
    known = open_inventory(
        inventory or i, group, bring_up=True, planned=lambda lab: deploys.possible(asked, lab, only)
    )
    outcomes = deploys.run(asked, known, ROOT, check, only, packages_from, diff)
    if check or diff:
        give(show.details(outcomes, diff))
    give(show.recap(outcomes, check))
    problems = deploys.causes(outcomes)
    for problem in problems:
        say(text.error(problem, inventory or i, group))
    if problems:
        raise Exit(code=problems[0].exit_code)
    if check:
        then = "nothing was touched; next: inv deploy"
    else:
        then = f"next: inv bench --servers {min(2, len(known.group('app')))}"
    say(text.command(then, inventory or i, group))


@word(help={**INVENTORY_HELP, **LOAD_HELP})
def bench(
    context: Context,
    inventory: str = "",
    i: str = "",
    group: str = "",
    servers: str = "",
    vusers: str = "",
    processes: str = "",
    threads: str = "",
    ramp: str = "",
    initial: str = "",
    step: str = "",
    interval: str = "",
    settle: str = "",
    hold: str = "",
    duration: str = "",
    think: str = "",
    timeout: str = "",
    rate: str = "",
    arrivals: str = "",
    autostop: str = "",
    cpu_limit: str = "",
    limiter: str = "",
    calibrate: bool = False,
    variant: str = "",
    scenario: str = "",
    rows: str = "",
    steal: str = "",
    name: str = "",
    note: str = "",
) -> None:
    """One trial: deploy the arm, hold each backend to its CPU limit, drive Locust, seal the results on the hosts."""
    given = {key: value for key, value in locals().items() if key in LOAD_HELP}
    from loadproof.campaign import bench as benches
    from loadproof.console import trial as show
    from loadproof.plan import experiment, trials

    asked = experiment.from_flags(flags(given))
    hosts = open_inventory(
        inventory or i, group, bring_up=True, planned=lambda lab: trials.enough_servers(asked, lab)
    )
    say(show.before(asked))
    seen: list[Live] = []
    folder = benches.run(asked, hosts, ROOT, RESULTS, command_line(), watcher(sys.stderr.isatty(), seen))
    say(f"\nsealed on the hosts: run {folder.id}")
    for line in show.live_summary(asked.arms[0].load, seen):
        say(line)
    say("next: ./inv fetch-results")


@word(
    iterable=["turn"],
    help={
        **INVENTORY_HELP,
        "turn": "a check, a fault, or clean; again for several; default: every fault, and a clean trial",
    },
)
def rehearse(context: Context, turn: Any = None, inventory: str = "", i: str = "", group: str = "") -> None:
    """Prove on the lab that every check can turn: short trials, each with one thing broken on purpose."""
    from lab import owner
    from lab.config import LabConfig
    from loadproof.campaign import rehearse as rehearsals
    from loadproof.console import rehearse as show

    names = rehearsals.chosen(turn or [])
    hosts = open_inventory(inventory or i, group, bring_up=True)
    rehearsals.refuse_elsewhere(hosts, owner.is_lab(LabConfig.of(), hosts))
    found: list[Any] = []

    def tell(some: Sequence[Any], folder: Any) -> None:
        found.extend(some)
        if len(found) == len(some):
            give(show.header())
        give(show.rows(some, folder.id if folder else ""))

    green = rehearsals.rehearse(
        names, hosts, ROOT, RESULTS, command_line(), watcher(sys.stderr.isatty()), tell
    )
    say("\n" + show.ending(found, len(names)))
    if not green:
        raise Exit(code=2)


@word(
    iterable=["set"],
    help={
        **INVENTORY_HELP,
        "name": "of experiments/NAME.yml, or the path of another file",
        "set": "a value in place of the file's: key=value, or factors.key=a,b; again for several",
        "repeats": "blocks: how often each arm is run",
        "dry_run": "say what would be run, and touch nothing",
        "resume": "go on with a run that was left (default: the newest), instead of a new one",
    },
)
def experiment(
    context: Context,
    name: str = "",
    set: Any = None,
    repeats: str = "",
    dry_run: bool = False,
    resume: bool = False,
    inventory: str = "",
    i: str = "",
    group: str = "",
) -> None:
    """Answer a question: every arm in balanced blocks, fetched and judged one by one, a ratio with its interval."""
    from loadproof.console import experiment as show
    from loadproof.plan import experiment as experiments
    from loadproof.plan import trials

    if resume:
        return go_on(name, flags({"set": ",".join(set or []), "repeats": repeats, "dry-run": dry_run}))
    asked = experiments.named(name, flags({"repeats": repeats}), set or ())
    if dry_run:
        give(show.before(asked, None))
        return None
    hosts = open_inventory(
        inventory or i, group, bring_up=True, planned=lambda lab: trials.enough_servers(asked, lab)
    )
    return conduct_experiment(asked, hosts)


def go_on(run: str, others: Mapping[str, str]) -> None:
    """Goes on with an experiment that was left in its middle."""
    from loadproof.campaign import collect, state
    from loadproof.campaign import experiment as experiments
    from loadproof.errors import BadInput, Problem
    from loadproof.runfolder.paths import RunFolder

    if others:
        problems = [Problem("a run that goes on is what it was planned to be", f"--{one}") for one in others]
        raise BadInput(problems, next="./inv experiment --resume [RUN]")
    folder = RunFolder.open(RESULTS, run or "latest")
    hosts = state.hosts_of_run(folder)
    with lab_that_lives(hosts):
        experiments.resume(folder, ROOT, watcher(sys.stderr.isatty()))
        results, report = collect.fetch_and_analyse(folder, hosts)
    finish(results, report, as_json=False)


CAPACITY_LOAD = ("servers", "processes", "settle", "hold", "think", "timeout", "cpu_limit", "limiter", "calibrate", "variant",
                 "scenario", "rows", "steal", "name", "note")  # fmt: skip
CAPACITY_HELP = {
    "p95": "95 of 100 answers take less: 500ms, for example",
    "p99": "99 of 100 answers take less",
    "mtt": "the mean time of an answer is less",
    "failures": "fewer requests fail, in percent: 1%",
    "most": "users at most (default 1000)",
    "fresh": "trials that answer, each time (default 5)",
    **{name: LOAD_HELP[name] for name in CAPACITY_LOAD},
    "processes": "Locust workers; users are a multiple of it (default 1)",
    "name": "name of the run (default capacity)",
    "dry_run": "say what would be run, and touch nothing",
    "resume": "go on with a search that was left, instead of a new one",
    "run": "with --resume: a run's id, its folder, or -1 (default: the newest)",
}


@word(help={**INVENTORY_HELP, **CAPACITY_HELP})
def capacity(
    context: Context,
    p95: str = "",
    p99: str = "",
    mtt: str = "",
    failures: str = "",
    most: str = "",
    fresh: str = "",
    servers: str = "",
    processes: str = "",
    settle: str = "",
    hold: str = "",
    think: str = "",
    timeout: str = "",
    cpu_limit: str = "",
    limiter: str = "",
    calibrate: bool = False,
    variant: str = "",
    scenario: str = "",
    rows: str = "",
    steal: str = "",
    name: str = "",
    note: str = "",
    dry_run: bool = False,
    resume: bool = False,
    run: str = "",
    inventory: str = "",
    i: str = "",
    group: str = "",
) -> None:
    """The most users with --p95 500ms, say: searched for, then shown in fresh trials with 95 % confidence."""
    given = {key: value for key, value in locals().items() if key in CAPACITY_HELP}
    from loadproof.console import capacity as show
    from loadproof.plan import experiment as experiments
    from loadproof.plan import trials

    if resume or run:
        others = {key: value for key, value in given.items() if key not in ("resume", "run")}
        return search_on(run, flags(others))
    del given["dry_run"]
    asked = experiments.capacity_search(flags(given))
    if dry_run:
        give(show.before(asked))
        return None
    hosts = open_inventory(
        inventory or i, group, bring_up=True, planned=lambda lab: trials.enough_servers(asked, lab)
    )
    return conduct_experiment(asked, hosts)


def search_on(run: str, others: Mapping[str, str]) -> None:
    """Goes on with a search for a capacity that was left in its middle."""
    from loadproof.campaign import capacity as capacities
    from loadproof.campaign import collect, state
    from loadproof.errors import BadInput, Problem
    from loadproof.runfolder import record
    from loadproof.runfolder.paths import RunFolder

    problems = [Problem("a run that goes on is what it was planned to be", f"--{one}") for one in others]
    folder = RunFolder.open(RESULTS, run or "latest")
    if record.read_run(folder).experiment.capacity is None:
        problems.append(Problem(f"run {folder.id} searches for no capacity", "--run"))
    if problems:
        raise BadInput(problems, next="./inv capacity --resume [--run RUN]")
    hosts = state.hosts_of_run(folder)
    with lab_that_lives(hosts):
        capacities.resume(folder, ROOT, watcher(sys.stderr.isatty()))
        results, report = collect.fetch_and_analyse(folder, hosts)
    finish(results, report, as_json=False)


RUN_HELP = {
    "run": "a run's id, its folder, or -1 for the newest folder, reports too; default: the newest run",
    "json": "print results.json",
}


@word(help=RUN_HELP)
def fetch_results(context: Context, run: str = "", json: bool = False) -> None:
    """Bring sealed results and logs of a run back from every host, verify them, and analyse them."""
    from loadproof.campaign import collect, state
    from loadproof.runfolder.paths import RunFolder

    folder = RunFolder.open(RESULTS, run or "latest")
    hosts = state.hosts_of_run(folder)
    say(f"run: {folder.id}, hosts: {', '.join(host.name for host in hosts.hosts)}")
    with lab_that_lives(hosts):
        results, report = collect.fetch_and_analyse(folder, hosts, say)
    finish(results, report, json)


@word(iterable=["run"], help={**RUN_HELP, "run": RUN_HELP["run"] + "; give it again for runs side by side"})
def report(context: Context, run: Any = None, json: bool = False) -> None:
    """Analyse a run's folder again and render its report; several runs side by side, in a new folder."""
    from loadproof.campaign import collect
    from loadproof.runfolder.paths import RunFolder

    folders = [RunFolder.open(RESULTS, name) for name in run or ["latest"]]
    results, path = collect.analyse(folders, RESULTS)
    finish(results, path, json)


@word(iterable=["run"], help={**RUN_HELP, "run": RUN_HELP["run"] + "; give it again for runs side by side"})
def analyse(context: Context, run: Any = None, json: bool = False) -> None:
    """Rebuild tables, results.json and report from the raw files of a run's folder alone, whatever was made of them before."""
    from loadproof.campaign import collect
    from loadproof.runfolder.paths import RunFolder

    folders = [RunFolder.open(RESULTS, name) for name in run or ["latest"]]
    results, path = collect.analyse(folders, RESULTS, rebuild=True)
    finish(results, path, json)


@word(
    iterable=["run"],
    help={"run": RUN_HELP["run"] + "; give it again for several", "json": "print it as JSON"},
)
def variance(context: Context, run: Any = None, json: bool = False) -> None:
    """Tell where the spread of trials comes from, and which hold and how many pairs would see 5, 10 and 20 %."""
    from loadproof.campaign import collect
    from loadproof.console import variance as show
    from loadproof.runfolder.paths import RunFolder

    found = collect.spread([RunFolder.open(RESULTS, name) for name in run or ["latest"]])
    give(dumped(found) if json else show.variance(found))


@word(help={"run": RUN_HELP["run"]})
def share(context: Context, run: str = "") -> None:
    """One picture and one paragraph of a run that was analysed: question, answer, interval, verdict, hosts, commit."""
    from loadproof.campaign import collect
    from loadproof.runfolder.paths import RunFolder

    picture, text = collect.share(RunFolder.open(RESULTS, run or "latest"))
    give(text.rstrip())
    say(f"\npicture: {picture}\ntext:    {picture.with_name('share.md')}")


@word(
    positional=["first", "second"],
    help={"first": "a run", "second": "another one", "json": "print it as JSON"},
)
def compare(context: Context, first: str, second: str, json: bool = False) -> None:
    """Two runs against each other: what came out differently, beside what was different about them."""
    from loadproof.campaign import collect
    from loadproof.console import against as show
    from loadproof.runfolder.paths import RunFolder

    found = collect.against(RunFolder.open(RESULTS, first), RunFolder.open(RESULTS, second))
    give(dumped(found) if json else show.against(found))


@word(help={"run": "a run's id, its folder, or -1 for the newest folder; default: the newest run"})
def rerun(context: Context, run: str = "") -> None:
    """Run an experiment again as it is recorded, on the same hosts, and compare it with the first time."""
    from loadproof.campaign import collect
    from loadproof.console import against as show
    from loadproof.control import provenance
    from loadproof.runfolder import record
    from loadproof.runfolder.paths import RunFolder

    before = RunFolder.open(RESULTS, run or "latest")
    known = record.read_run(before)
    commit = provenance.collect(ROOT).commit
    if commit != known.provenance.get("commit"):
        say(
            f"note: this clone is at {str(commit)[:12]}, that run was made with {str(known.provenance.get('commit'))[:12]}"
        )
    if Path(known.inventory.path).resolve() == LAB_INVENTORY:
        lab_up()
    with lab_that_lives(known.inventory):
        after, results, report = carried_out(known.experiment, known.inventory)
    give(show.against(collect.against(before, after)))
    finish(results, report, as_json=False)


@word(
    help={
        "run": "a run's id, its folder, latest, or -1 for the newest folder",
        "id": "of a request: 16 hex digits, or worker:number",
        "trial": "only this trial, 02 for example (default: every one that has the id)",
        "json": "print it as JSON",
    }
)
def journey(context: Context, run: str, id: str, trial: str = "", json: bool = False) -> None:
    """Tell what became of one request: when each of client, nginx and app saw it, how it ended, and why."""
    from analysis import journey as journeys
    from loadproof.console import journey as show
    from loadproof.runfolder.paths import RunFolder
    from loadproof.runfolder.record import to_json

    told = journeys.tell(RunFolder.open(RESULTS, run), journeys.number(id), trial)
    give(dumped(to_json(told)) if json else show.journey(told))


@word()
def runs(context: Context) -> None:
    """List the runs of this clone, newest last."""
    from loadproof.campaign import state
    from loadproof.console import summary

    give(summary.runs(state.listing(RESULTS)))


@word(help=INVENTORY_HELP)
def status(context: Context, inventory: str = "", i: str = "", group: str = "") -> None:
    """Show what runs on which host now: units, trial, owner."""
    from loadproof.campaign import hosts as fleet
    from loadproof.console import hosts as show

    answers = fleet.facts(open_inventory(inventory or i, group))
    give(show.status(answers))
    all_answered(answers, inventory or i, group)


@word(help={**INVENTORY_HELP, "hosts": "only these hosts, comma separated"})
def facts(context: Context, inventory: str = "", i: str = "", group: str = "", hosts: str = "") -> None:
    """Print what each host says of itself, as JSON."""
    from loadproof.campaign import hosts as fleet
    from loadproof.plan.flags import listed

    only = listed("--hosts", hosts)
    found = fleet.facts(open_inventory(inventory or i, group), only)
    give(
        json.dumps(
            {
                name: value if isinstance(value, dict) else {"error": value.what}
                for name, value in found.items()
            },
            indent=2,
        )
    )
    all_answered(found, inventory or i, group)


@word(help={**INVENTORY_HELP, **LOAD_HELP, "files": "print the rendered files too"})
def plan(
    context: Context,
    inventory: str = "",
    i: str = "",
    group: str = "",
    servers: str = "",
    vusers: str = "",
    processes: str = "",
    threads: str = "",
    ramp: str = "",
    initial: str = "",
    step: str = "",
    interval: str = "",
    settle: str = "",
    hold: str = "",
    duration: str = "",
    think: str = "",
    timeout: str = "",
    rate: str = "",
    arrivals: str = "",
    autostop: str = "",
    cpu_limit: str = "",
    limiter: str = "",
    calibrate: bool = False,
    variant: str = "",
    scenario: str = "",
    rows: str = "",
    steal: str = "",
    name: str = "",
    note: str = "",
    files: bool = False,
) -> None:
    """Show every action and rendered file of a bench, without any ssh."""
    given = {key: value for key, value in locals().items() if key in LOAD_HELP}
    from loadproof.campaign import preview
    from loadproof.console import plan as show
    from loadproof.control import inventory as inventories
    from loadproof.errors import LabUnavailable
    from loadproof.plan import experiment
    from loadproof.plan.flags import groups

    path = inventory_path(inventory or i)
    say(f"inventory: {path}" + (" (the lab)" if path == LAB_INVENTORY else ""))
    asked = experiment.from_flags(flags(given))
    if path == LAB_INVENTORY and not path.exists():  # no look at its hosts: a plan asks nobody
        raise LabUnavailable(
            "the lab is down", where=str(path), kept="nothing was touched", next="./inv lab.up"
        )
    known = inventories.read(path, groups(group), traffic=True)
    for sentence in known.notes:
        say(f"note: {sentence}")
    give(show.plan(preview.preview(asked, known, ROOT), files))


@word(help={"run": RUN_HELP["run"]})
def attach(context: Context, run: str = "") -> None:
    """Come back to a run whose control machine went away: watch its load to the end, close it, go on."""
    from loadproof.campaign import attach as attaching
    from loadproof.campaign import state
    from loadproof.runfolder.paths import RunFolder

    folder = RunFolder.open(RESULTS, run or "latest")
    if state.here(folder):
        say(f"fetched already: run {folder.id}; no host was asked")
        say(f"next: ./inv report --run {folder.id}")
        return
    if state.searching(folder):
        search_on(folder.id, {})
        return
    with lab_that_lives(state.hosts_of_run(folder)):
        attaching.attach(folder, ROOT, watcher(sys.stderr.isatty()))
    say(f"\nsealed on the hosts: run {folder.id}")
    say(f"next: ./inv fetch-results --run {folder.id}")


@word(help=INVENTORY_HELP)
def stop(context: Context, inventory: str = "", i: str = "", group: str = "") -> None:
    """Stop load, limiter and sampler on every host, let the apps continue, seal what was measured."""
    from loadproof.campaign import hosts as fleet
    from loadproof.console import hosts as show

    answers = fleet.stop(open_inventory(inventory or i, group))
    give(show.done(answers))
    all_answered(answers, inventory or i, group)


@word(
    help={
        **INVENTORY_HELP,
        "packages": "also remove the packages that we brought",
        "discard": "even if a run is on, or was not fetched",
    }
)
def clean(
    context: Context,
    inventory: str = "",
    i: str = "",
    group: str = "",
    packages: bool = False,
    discard: bool = False,
) -> None:
    """Remove all that is ours from every host."""
    from loadproof.campaign import hosts as fleet
    from loadproof.console import hosts as show

    known = open_inventory(inventory or i, group)
    answers = fleet.clean(known, RESULTS, packages, discard)
    give(show.done(answers))
    all_answered(answers, inventory or i, group)


@word(help={**INVENTORY_HELP, "yes": "do not ask"})
def trust(context: Context, inventory: str = "", i: str = "", group: str = "", yes: bool = False) -> None:
    """Show the ssh host keys of all hosts and, after a yes, remember them."""
    from loadproof.console import hosts as show
    from loadproof.console import text
    from loadproof.control import trust as trusting
    from loadproof.errors import Refused

    known = open_inventory(inventory or i, group)
    found, failed = trusting.collect(known)
    give(show.keys(found))
    failed |= trusting.refused(found)
    new = [key.host for key in found if key.known == "new"]
    if new and not yes and not sys.stdin.isatty():
        failed[""] = Refused(
            "nobody is here to look at the fingerprints",
            where=f"host {', '.join(new)}",
            kept="nothing was touched",
            next="inv trust --yes",
        )
        all_answered(failed, inventory or i, group)
    if new and not yes and not agreed("Are these the keys of your hosts?", by_default=False):
        raise Exit("nothing was touched", code=4)
    for line in trusting.remember(found):
        say(text.command(line, inventory or i, group))
    all_answered(failed, inventory or i, group)


@word(help=INVENTORY_HELP)
def doctor(context: Context, inventory: str = "", i: str = "", group: str = "") -> None:
    """Ask every host whether it can do its part: login, sudo, Python, ports, disk, packages."""
    from loadproof.campaign import hosts as fleet
    from loadproof.console import hosts as show

    findings = fleet.doctor(open_inventory(inventory or i, group))
    give(show.findings(findings, inventory or i, group))
    if any(not finding.ok for finding in findings):
        raise Exit(code=3)


@word(name="up", help={"app": "app hosts (default 2)", "load": "load hosts (default 1)"})
def lab_up_word(context: Context, app: str = "", load: str = "") -> None:
    """Make or repair the local hosts and wait until they answer."""
    from loadproof.plan.flags import count

    lab_up(count("--app", app), count("--load", load))


@word(name="status")
def lab_status(context: Context) -> None:
    """Say which local hosts there are and whether they answer."""
    from lab import status as lab
    from loadproof.console import hosts as show

    state = lab.status()
    give(show.lab(state))
    raise Exit(code=0 if state.up else 3)


def keep_runs(host: str) -> None:
    """Raises Refused while a host of the lab (or this one) holds what nobody has fetched."""
    from lab import listing, up
    from lab.config import LabConfig
    from loadproof.campaign import stake
    from loadproof.control import inventory

    config = LabConfig.of()
    hosts = [one for one in up.remembered(config).hosts if host in ("", one.name)]
    if hosts:
        with tempfile.NamedTemporaryFile(
            "w", suffix=".yml"
        ) as file:  # lab.yml may be gone, or name others too
            file.write(listing.text(config, hosts))
            file.flush()
            known = replace(inventory.read(Path(file.name)), path=str(LAB_INVENTORY))
            stake.refuse_loss(known, RESULTS, "./inv lab.down")


@word(
    name="down",
    help={
        "purge": "also the image and the lab's keys",
        "discard": "even if a run is on, or was not fetched",
        "host": "only this one, app3 for example",
    },
)
def lab_down(context: Context, purge: bool = False, discard: bool = False, host: str = "") -> None:
    """Stop and remove the local hosts, bridge and files; the image stays unless --purge."""
    from lab import down

    if not discard:
        keep_runs(host)
    gone = down.down(purge=purge, say=lambda text: say(f"  {text}"), host=host or None)
    say(f"lab: {', '.join(gone.hosts)} gone" if gone.hosts else "lab: there were no hosts")
    if gone.words:
        say(f"installed packages stay; this line removes them: {gone.words}")


def dumped(value: Any) -> str:
    """A value as JSON; `json` is a flag of some words."""
    return json.dumps(value, indent=2)


def python(words: str) -> str:
    """A command line for this environment's Python."""
    return f"{shlex.quote(sys.executable)} -m {words}"


@task
def lint(context: Context) -> None:
    """Format, lint, types (strict), import table."""
    with context.cd(str(ROOT)):
        context.run(python("ruff format --check ."))
        context.run(python("ruff check ."))
        context.run(python("mypy"))
        context.run(python("pytest -q -p no:cacheprovider tests/test_architecture.py"))


@task(pre=[lint], help={"long": "everything, hours included", "only": "words for pytest: paths, -k …"})
def test(context: Context, long: bool = False, only: str = "") -> None:
    """Lint, the fast tests, and the tests on the lab."""
    from tests import machine

    if packages := machine.missing():
        say(f"tests need packages that are not here; will be installed: {' '.join(packages)}")
        if not agreed("Go on?"):
            raise Exit("nothing was touched", code=4)
        for trouble in machine.install(packages):
            say(f"{trouble}\nthe tests that need it are skipped")
    # tests that need no hosts run beside those that do (tests/conftest.py)
    beside = "" if only else "-n 2 "
    with context.cd(str(ROOT)):
        done = context.run(
            python("pytest " + beside + ("--long " if long else "") + only), pty=False, warn=True
        )
    raise Exit(code=done.exited if done else 70)


ns = Collection(
    demo,
    experiment,
    capacity,
    compare,
    rerun,
    deploy,
    bench,
    rehearse,
    fetch_results,
    report,
    analyse,
    variance,
    share,
    journey,
    runs,
    status,
    facts,
    plan,
    attach,
    stop,
    clean,
    trust,
    doctor,
    lint,
    test,
)
ns.add_collection(Collection("lab", lab_up_word, lab_status, lab_down))
