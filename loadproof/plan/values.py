"""The values that rooms hand to each other. All frozen; all plain data that can be written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["app", "proxy", "load", "watch"]
ROLES: tuple[Role, ...] = ("app", "proxy", "load", "watch")
DEFAULT_PORTS: dict[Role, int] = {"app": 8000, "proxy": 8080}
STATUS_PORT = 8079  # nginx's own local status server, 127.0.0.1 of the proxy host
MASTER_PORT = 5557  # Locust master
STEAL = 2.0  # % of the hosts' CPU: what the machine below may keep for itself where nobody says otherwise


@dataclass(frozen=True)
class Host:
    """A machine reached over ssh, as the inventory declares it."""

    name: str
    roles: tuple[Role, ...]
    ssh_host: str  # ansible_host, default: the name
    ssh_port: int | None = None  # ansible_port; None: what `ssh -G` says
    ssh_user: str | None = None
    identity_file: str | None = None
    ssh_common_args: str = ""
    connection: Literal["ssh", "local"] = "ssh"
    address: str = ""  # loadproof_address: where traffic goes; default ssh_host; for a plan always IPv4
    ports: tuple[tuple[Role, int], ...] = ()  # (role, port), filled for app and proxy
    python: str = "/usr/bin/python3"
    platform: str | None = None  # loadproof_platform, "cp311-x86_64"; None: probed before planning

    def port(self, role: Role) -> int:
        """The traffic port of `role` on this host. Raises KeyError for roles without one."""
        return dict(self.ports)[role]


@dataclass(frozen=True)
class Inventory:
    """Hosts by group, in the order of the file. A host in two groups is one Host with two roles."""

    path: str
    hosts: tuple[Host, ...]
    notes: tuple[str, ...] = ()  # sentences for the person: variables that we know and do not use

    def group(self, role: Role) -> tuple[Host, ...]:
        """The hosts of a group, in file order."""
        return tuple(host for host in self.hosts if role in host.roles)

    def host(self, name: str) -> Host:
        """The host of that name. Raises KeyError."""
        return {host.name: host for host in self.hosts}[name]


@dataclass(frozen=True)
class Platform:
    """Python and platform that a tree is built for. `tag` is "cp311-x86_64"; glibc is (2, 36)."""

    python: str  # "3.11"
    machine: str  # "x86_64", "aarch64"
    glibc: tuple[int, int]
    magic: str  # hex of importlib.util.MAGIC_NUMBER
    origin: Literal["declared", "found"] = "found"

    @property
    def tag(self) -> str:
        return f"cp{self.python.replace('.', '')}-{self.machine}"


@dataclass(frozen=True)
class Load:
    """Users over time. `table` holds (second, users), first second 0, users constant until the next row."""

    processes: int
    threads: int
    users: int  # processes * threads
    ramp: Literal["users", "thread", "process"]
    table: tuple[tuple[float, int], ...]
    ramp_end_s: float  # second of the last planned step
    settle_s: float
    hold_s: float  # length of the window compared: [ramp_end + settle, end]
    end_s: float  # ramp_end + settle + hold
    think_s: float
    timeout_s: float
    scenario: str
    said: tuple[str, ...] = ()  # sentences for the person: what --vusers became, ...
    # Of an open load: requests per second, and when they are due, a file name of loadtests/profiles/arrivals; its users are
    # those who can make requests at once. None: a closed load.
    rate: float | None = None
    arrivals: str = ""
    autostop: Literal["none", "ngrinder"] = "none"  # the rule by which the load ends early


@dataclass(frozen=True)
class Limit:
    """What holds the app's CPU: kind is a file name of plan/limiters; percent of one CPU."""

    kind: str = "cpulimit"
    percent: float = 5.0


@dataclass(frozen=True)
class Serving:
    """What serves in an arm, beside how many servers: the app, its data, and how nginx spreads requests over servers."""

    variant: str = "plain"
    rows: int = 10_000  # of the data file
    balance: str = "round_robin"  # or least_conn, random
    keepalive: bool = False  # nginx keeps its connections to the servers
    failover: bool = False  # nginx asks another server when one fails
    app: tuple[tuple[str, str], ...] = ()  # settings of the app, as environment variables


@dataclass(frozen=True)
class Arm:
    """One combination of factor levels: all that its trials need but the hosts."""

    label: str  # "servers=2"
    factors: tuple[tuple[str, Any], ...]
    servers: int  # number of app hosts; 0: all there are
    load: Load
    limit: Limit
    serving: Serving


@dataclass(frozen=True)
class Below:
    """A figure of results.json and what it must stay below: times in ms, "failures" in percent of the requests."""

    figure: str  # "p95_ms"
    most: float


@dataclass(frozen=True)
class Capacity:
    """What a search for the largest load asks: how many users there may be so that all of `limits` hold."""

    limits: tuple[Below, ...]
    least: int  # the first load that is tried; every load is a multiple of `step`
    step: int
    most: int
    resolution: float  # 0.1: the search ends when the next larger load is at most a tenth above
    fresh: int  # trials that answer: each verification has so many, and none of the search counts
    load: Literal["users"] = "users"  # what is searched for: a name in plan.capacity.LOADS


@dataclass(frozen=True)
class Experiment:
    """What is asked: everything that a run needs but the hosts. `origins` says where each value came from."""

    name: str
    note: str
    arms: tuple[Arm, ...]
    seed: int
    warm_requests: int  # per backend
    origins: tuple[tuple[str, str], ...] = ()
    calibrate: bool = False  # trials before the measured ones find what to set each server's limiter to
    question: str = ""
    primary: str = "tps"  # the figure that answers it, fixed in advance
    blocks: int = 1  # trials of each arm
    thresholds: tuple[str, ...] = ()  # what plan.thresholds reads
    steal: float = STEAL  # % of the hosts' CPU that the machine below may keep for itself
    capacity: Capacity | None = (
        None  # its trials follow from each other: only the first one is known in advance
    )

    @property
    def trials(self) -> int:
        """How many trials measure something, repeated ones not among them."""
        return len(self.arms) * self.blocks


@dataclass(frozen=True)
class PlannedFault:
    """One fault of a rehearsal, decided: a file name of plan/faults, whom it is done to, and when.

    "before" the load starts, in the "load" (`at_s` to `until_s`, seconds since the first user started), "after" it and
    before the seal, or on files that are "sealed". `until_s` None: until the trial is closed; "sealed": until judged.
    """

    name: str
    hosts: tuple[str, ...]
    when: Literal["before", "load", "after", "sealed"]
    at_s: float = 0.0
    until_s: float | None = None


@dataclass(frozen=True)
class TrialPlan:
    """One trial, decided: written to plan.json before anything is touched."""

    run: str
    id: str  # "01"
    arm: str  # "servers=2"
    factors: tuple[tuple[str, Any], ...]
    block: int
    because: str
    apps: tuple[str, ...]  # host names in the arm, in upstream order
    idle_apps: tuple[str, ...]  # app hosts desired stopped
    proxy: str
    loads: tuple[str, ...]  # load host names; the first one carries the master
    watch: tuple[str, ...]
    load: Load
    workers: tuple[tuple[str, int], ...]  # (load host, Locust worker number from 1)
    limit: Limit
    serving: Serving
    seed: int
    warm_requests: int
    deploy_id: str
    timeouts: tuple[tuple[str, float], ...]  # chain of timeouts, seconds, by name
    planned_s: float  # planned length of the load in seconds
    margin_s: float  # RuntimeMaxSec = planned_s + margin_s
    # What a calibration gave the limiter of each server to make its share the asked one; empty: what was asked.
    limit_set: tuple[tuple[str, float], ...] = ()
    # "search" looks for a capacity and counts for nothing, "verify" are the fresh trials that answer
    purpose: Literal["measure", "calibration", "search", "verify"] = "measure"
    faults: tuple[PlannedFault, ...] = ()  # of a rehearsal; no other trial has any
    steal: float = STEAL  # % of the hosts' CPU that the machine below may keep for itself

    @property
    def state(self) -> tuple[Serving, tuple[str, ...]]:
        """What its desired state is made of, beside the hosts."""
        return self.serving, self.apps

    def limit_at(self, host: str) -> float:
        """What the limiter of a server is set to, in its own percent."""
        return dict(self.limit_set).get(host, self.limit.percent)

    @property
    def folder(self) -> str:
        """Name of the trial's folder: 01-servers-2."""
        return f"{self.id}-{self.arm.replace('=', '-').replace(',', '_').replace('/', '_')}"


# --- desired state ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileSpec:
    """A file as it must be. `secret` files are never shown in a diff."""

    path: str
    data: bytes
    mode: int = 0o644
    owner: str = "root"
    secret: bool = False

    @property
    def sha256(self) -> str:
        import hashlib

        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class TreeSpec:
    """A folder shipped whole, named by the hash of its recipe; complete when `<path>/.complete` exists."""

    kind: Literal["app", "load", "data"]
    name: str  # "app-1f0c9a2b3d4e"
    platform: Platform | None  # None for data
    params: tuple[tuple[str, Any], ...] = ()  # data: rows, seed

    @property
    def path(self) -> str:
        return f"/opt/loadproof/trees/{self.name}"


@dataclass(frozen=True)
class UnitSpec:
    """A systemd unit of ours and its wanted state; it is restarted when one of `restart_on` (paths, tree
    names) changed."""

    name: str  # "loadproof-app.service"
    state: Literal["running", "stopped"]
    restart_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Promise:
    """What is read back after a change. kind "health": GET http://127.0.0.1:port/healthz answers this deploy id and
    variant. kind "config": the proxy's status server answers this hash."""

    kind: Literal["health", "config"]
    port: int
    expected: str  # deploy id, or hash of the nginx config
    variant: str = ""


@dataclass(frozen=True)
class HostDesired:
    """What one host must look like."""

    host: str
    packages: tuple[tuple[str, str], ...] = ()  # (program that must be found, package that brings it)
    masked: tuple[str, ...] = ()  # units masked before packages are installed: ("nginx.service",)
    files: tuple[FileSpec, ...] = ()
    trees: tuple[TreeSpec, ...] = ()
    units: tuple[UnitSpec, ...] = ()
    promises: tuple[Promise, ...] = ()
    ports: tuple[int, ...] = ()  # ports that must be free, or ours
    absent: tuple[str, ...] = ()  # paths of ours that must not exist (left from another role)


@dataclass(frozen=True)
class Desired:
    """The desired state of every host, and its hash. Contains no time, chance or run id."""

    deploy_id: str
    hosts: tuple[HostDesired, ...]
    variant: str
    apps: tuple[str, ...]

    def host(self, name: str) -> HostDesired:
        return {host.host: host for host in self.hosts}[name]


States = Mapping[tuple[Serving, tuple[str, ...]], Desired]  # by what serves, and on which app hosts

ChangeKind = Literal[
    "package", "file", "remove", "tree", "reload", "start", "stop", "restart", "user", "folder"
]


@dataclass(frozen=True)
class Change:
    """One difference between actual and desired, as a value."""

    kind: ChangeKind
    what: str  # path, tree name, unit, package
    detail: str = ""  # one line for the recap and --check
    before: str | None = None  # text for --diff (files only)
    after: str | None = None
    data: Any = field(default=None, compare=False)  # FileSpec, TreeSpec or UnitSpec it came from


# --- actions ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """Run a command on a host as root. Any exit code not in `ok` is a StepFailed."""

    host: str
    name: str  # short, for the journal: "limit.start"
    command: str
    within: float = 30.0
    stdin: str = ""
    ok: tuple[int, ...] = (0,)
    keep: bool = False  # journal its standard output (parsed when JSON)


@dataclass(frozen=True)
class Put:
    """Write a small file on a host, atomically, as root."""

    host: str
    name: str
    path: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True)
class Await:
    """Poll a command until it exits 0, at most `within` seconds; NotReady says the last thing it printed."""

    host: str
    name: str
    condition: str  # words for a person: "app answers on 8000"
    command: str
    within: float
    every: float = 0.1


Action = Run | Put | Await


@dataclass(frozen=True)
class Stage:
    """A named part of a trial: waves run one after the other, the actions of a wave side by side over hosts."""

    name: str
    waves: tuple[tuple[Action, ...], ...]
