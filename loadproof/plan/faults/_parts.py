"""What fault files share: colours, whom a fault is done to, commands on units, programs that run beside ours."""

from __future__ import annotations

from collections.abc import Iterable

from loadproof.plan import places
from loadproof.plan.shell import Raw, quote
from loadproof.plan.values import Inventory, Run, TrialPlan

# Okabe and Ito's palette without its black and its yellow, which shade nothing on white
ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
COLOURS = (ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE)

# A program of ours must not look like one: what runs beside our units is what quiet_hosts speaks of.
BESIDE = "rehearsal"
WITHIN_S = 60.0
BUSY_S = 30.0
BUSY_MAY_TURN = (
    "limit_held",
    "generator_lag",
    "ledger_time",
)  # in the lab all hosts share the machine's CPUs
CONF = f"{places.ETC}/nginx.conf"
KEPT_CONF = f"{places.RUN}/nginx.conf.kept"  # not beside it, where it would be drift of its own


def last_app(trial: TrialPlan) -> tuple[str, ...]:
    """The last server of the arm; the others stay as they are."""
    return trial.apps[-1:]


def proxy(trial: TrialPlan) -> tuple[str, ...]:
    """The host of nginx."""
    return (trial.proxy,)


def loads(trial: TrialPlan) -> tuple[str, ...]:
    """The load hosts with a Locust worker."""
    return tuple(dict.fromkeys(host for host, _ in trial.workers))


def send(signal: str, unit: str, whom: str = "all") -> str:
    """A signal to a unit's processes; a unit that has none is no error."""
    return quote(
        "systemctl", "kill", f"--signal={signal}", f"--kill-whom={whom}", unit, Raw("2>/dev/null; true")
    )


def both(*commands: str) -> str:
    """Commands one after the other, each only if those before went well."""
    return " && ".join(commands)


def beside(name: str, longest_s: float, words: Iterable[str]) -> str:
    """Starts a program beside ours, as a unit that ends by itself at the latest after `longest_s` seconds."""
    return quote(
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={BESIDE}-{name}",
        f"--property=RuntimeMaxSec={longest_s:g}",
        *words,
    )


def taking_cpu(inventory: Inventory, host: str, name: str, program: str) -> Run:
    """Starts a Python program beside ours that takes what CPU it gets, for BUSY_S at most."""
    words = (inventory.host(host).python, "-I", "-S", "-c", program)
    return Run(host, "cpu.steal", beside(name, BUSY_S, words))


def ended(name: str) -> str:
    """Ends a program that `beside` started; none there is no error."""
    return quote("systemctl", "stop", f"{BESIDE}-{name}", Raw("2>/dev/null; true"))


def only_if(question: str, command: str) -> str:
    """A command that is run if another one says yes; a no is no error."""
    return f"if {question}; then {command}; fi"


def reconfigured(host: str, name: str, change: str) -> Run:
    """Changes nginx's configuration by a command, keeps it as it was beside it, and reloads it."""
    command = both(quote("cp", "-p", CONF, KEPT_CONF), change, send("HUP", places.PROXY_UNIT, "main"))
    return Run(host, name, command)


def configured(host: str) -> Run:
    """The configuration as we wrote it, and loaded."""
    back = both(quote("mv", KEPT_CONF, CONF), send("HUP", places.PROXY_UNIT, "main"))
    return Run(host, "nginx.mend", only_if(quote("test", "-e", KEPT_CONF), back))


def edited(inventory: Inventory, trial: TrialPlan, host: str, name: str, program: str, file: str) -> Run:
    """Runs a Python program on one of the trial's files, before they are sealed."""
    path = f"{places.trial_out(trial.run, trial.id)}/{file}"
    return Run(host, name, quote(inventory.host(host).python, "-I", "-S", "-c", program, path))


def filtered(inventory: Inventory, host: str, verdict: str) -> str:
    """A table of the packet filter, ours alone, that treats the app's port so; the host's own loopback is left alone."""
    rules = (
        f"table inet {BESIDE} {{ chain port {{ type filter hook input priority -10; "
        f'iifname != "lo" tcp dport {inventory.host(host).port("app")} {verdict}; }}; }}'
    )
    return quote("nft", rules)


def unfiltered() -> str:
    """The table goes; none there is no error."""
    return quote("nft", "delete", "table", "inet", BESIDE, Raw("2>/dev/null; true"))
