"""Users over time: nGrinder's rules for processes and threads, ramps, windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loadproof.errors import BadInput, Problem
from loadproof.plan.durations import spell
from loadproof.plan.values import Load
from loadtests.profiles.arrivals import BEGIN_S
from loadtests.profiles.steps import table

Ramp = Literal["users", "thread", "process"]
RAMPS: tuple[Ramp, ...] = ("users", "thread", "process")
STEPS = 11  # the default ramp reaches all users in so many steps
SHORTEST_WINDOW_S = 15.0  # a shorter hold is never compared
THINKS = 20  # nor is one that is below so many think times: users who think go in step
LEVEL_S = 10.0  # a shorter level of a ramp has not settled
KNEE_LEVELS = 5  # a broken stick has four parameters
MOST_PROCESSES = 512  # Locust workers
MOST_USERS = 4096  # templates/nginx.conf.j2 has worker_connections for four times as many
MOST_STEPS = 1000
MOST_ARRIVALS = 10_000_000  # of a load: they are all gone through when it is judged
SHORTEST_S = 0.001  # of a timeout, of a hold; as loadtests.trial has it
LONGEST_THINK_S = 3600.0


def vusers(number: int) -> tuple[int, int, str]:
    """Processes, threads of each, and what is said about it, by nGrinder's rule.

    1 process below 2 vusers, else 2; above 80, int(vusers / 40) + 1, at most 10; threads = int(vusers / processes).
    Source: nGrinder's ramp-up and vuser calculation as users know it (100 becomes 3 x 33 = 99, 1000 becomes 10 x 100).
    """
    processes = 1 if number < 2 else 2
    if number > 80:
        processes = min(number // 40 + 1, 10)
    threads = number // processes
    made = processes * threads
    rule = "nGrinder's rule"
    what = "as asked" if made == number else f"{number - made} fewer than asked"
    plural = "" if processes == 1 else "es"
    return processes, threads, (
        f"{number} vusers became {processes} process{plural} x {threads} threads = {made} users ({rule}; {what})"
    )  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A load as it was asked for; None: not said. Times in seconds; initial and step in units of `ramp`."""

    processes: int
    threads: int
    ramp: Ramp = "users"
    initial: int | None = None
    step: int | None = None
    interval_s: float = 5.0
    settle_s: float = 5.0
    hold_s: float | None = None
    duration_s: float | None = None
    think_s: float = 0.0
    timeout_s: float = 10.0
    scenario: str = "items"
    said: tuple[str, ...] = ()
    users_where: str = "--processes and --threads"  # what gave the number of users
    rate: float | None = None  # requests per second of an open load, which has no ramp and no thinking
    arrivals: str = ""
    rate_where: str = "--rate"
    autostop: Literal["none", "ngrinder"] = "none"


DEFAULT_HOLD_S = 30.0


def plan_load(asked: Asked) -> Load:
    """The load of a trial. Raises BadInput with all problems: what never reaches its users, or has no room for a window."""
    problems = _problems(asked)
    if problems:
        raise BadInput(problems)
    users = asked.processes * asked.threads
    initial, step, unit = _steps(asked)
    if asked.rate is None:
        rows = table(users, initial * unit, step * unit, asked.interval_s)
        ramp_end = rows[-1][0]
    else:
        rows, ramp_end = ((0.0, users),), BEGIN_S
    if asked.duration_s is None:
        hold = DEFAULT_HOLD_S if asked.hold_s is None else asked.hold_s
    else:
        hold = round(asked.duration_s - ramp_end - asked.settle_s, 6)
        if hold < SHORTEST_WINDOW_S:
            raise BadInput([_no_room(asked.duration_s, ramp_end, asked.settle_s)])
    end = round(ramp_end + asked.settle_s + hold, 6)
    if asked.rate is not None and asked.rate * end > MOST_ARRIVALS:
        many = f"{asked.rate * end:,.0f} requests are more than {MOST_ARRIVALS:,}"
        raise BadInput([Problem(f"{many}: a lower rate, or a shorter load", asked.rate_where)])
    return Load(
        processes=asked.processes,
        threads=asked.threads,
        users=users,
        ramp=asked.ramp,
        table=rows,
        ramp_end_s=ramp_end,
        settle_s=asked.settle_s,
        hold_s=hold,
        end_s=end,
        think_s=asked.think_s,
        timeout_s=asked.timeout_s,
        scenario=asked.scenario,
        said=(*asked.said, *_said(asked, initial, step, unit, hold)),
        rate=asked.rate,
        arrivals=asked.arrivals,
        autostop=asked.autostop,
    )


def settling(load: Load) -> int:
    """How many levels of the load are long enough to settle: between two steps of its ramp, and the last one."""
    begins = [second for second, _ in load.table] + [load.end_s]
    return sum(round(to - since, 6) >= LEVEL_S for since, to in zip(begins, begins[1:], strict=False))


def _no_room(duration: float, ramp_end: float, settle: float) -> Problem:
    needed = ramp_end + settle + SHORTEST_WINDOW_S
    return Problem(
        f"{spell(duration)} is too short: the ramp takes {spell(ramp_end)}, settling {spell(settle)}, and a window "
        f"that can be compared {spell(SHORTEST_WINDOW_S)}: at least {spell(needed)}",
        "--duration",
    )


def _problems(asked: Asked) -> list[Problem]:
    problems = []
    numbers = (
        ("processes", asked.processes),
        ("threads", asked.threads),
        ("step", asked.step),
        ("initial", asked.initial),
    )
    for name, number in numbers:
        if number is not None and number < 1:
            never = "a load with it never reaches its users" if name == "step" else "a load needs at least 1"
            problems.append(Problem(f"{number}: {never}", f"--{name}"))
    if asked.processes > MOST_PROCESSES:
        problems.append(
            Problem(f"{asked.processes} Locust workers are more than {MOST_PROCESSES}", "--processes")
        )
    if asked.processes * asked.threads > MOST_USERS:
        users = asked.processes * asked.threads
        problems.append(
            Problem(f"{users} users are more than {MOST_USERS}, which nginx is set up for", asked.users_where)
        )
    if asked.interval_s <= 0:
        problems.append(
            Problem("0 is no interval: a load with it never reaches its users step by step", "--interval")
        )
    if asked.timeout_s < SHORTEST_S:
        problems.append(
            Problem(f"{spell(asked.timeout_s)} is no timeout: each request needs at least 1ms", "--timeout")
        )
    if asked.think_s > LONGEST_THINK_S:
        problems.append(Problem(f"{spell(asked.think_s)} is more than {spell(LONGEST_THINK_S)}", "--think"))
    if asked.hold_s is not None and asked.duration_s is not None:
        problems.append(
            Problem("--hold and --duration were both given; --duration replaces --hold", "--duration")
        )
    elif asked.hold_s is not None and asked.hold_s < SHORTEST_S:
        problems.append(Problem(f"{spell(asked.hold_s)} is no hold: the window would be empty", "--hold"))
    if not problems:
        initial, step, unit = _steps(asked)
        users = asked.processes * asked.threads
        if (users - initial * unit) / (step * unit) > MOST_STEPS:
            problems.append(Problem(f"a ramp of more than {MOST_STEPS} steps: say a larger --step", "--step"))
    return problems


def _steps(asked: Asked) -> tuple[int, int, int]:
    """First step, step, and how many users one unit of them is."""
    whole = {"users": asked.processes * asked.threads, "thread": asked.threads, "process": asked.processes}[
        asked.ramp
    ]
    unit = {"users": 1, "thread": asked.processes, "process": asked.threads}[asked.ramp]
    step = asked.step if asked.step is not None else -(-whole // STEPS)
    return (asked.initial if asked.initial is not None else step), step, unit


def _said(asked: Asked, initial: int, step: int, unit: int, hold: float) -> tuple[str, ...]:
    said = []
    if asked.ramp != "users" and asked.rate is None:
        each = "per process" if asked.ramp == "thread" else "with all its threads"
        said.append(f"ramp by {asked.ramp}: {step} {asked.ramp} {each} = {step * unit} users at each step")
    if initial * unit > asked.processes * asked.threads and asked.rate is None:
        said.append("the first step is larger than all users: everybody starts at once")
    if hold < SHORTEST_WINDOW_S:
        said.append(
            f"short: a hold of {spell(hold)} is below {spell(SHORTEST_WINDOW_S)}; its figures are never compared"
        )
    elif hold < THINKS * asked.think_s:
        said.append(
            f"short: a hold of {spell(hold)} is below {THINKS} times the think time; its figures are never compared"
        )
    return tuple(said)
