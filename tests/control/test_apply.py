"""Converging hosts: asked once, refused before touched, read back. Comparing itself is tested in tests/plan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loadproof.campaign import deploy as deploys
from loadproof.console import deploy as show
from loadproof.control import apply, readback, trees
from loadproof.control.fake import Call, FakeRemote, Script
from loadproof.control.fleet import Fleet
from loadproof.errors import HostUnreachable, LinkLost, LoadproofError, NotReady, Refused, StepFailed
from loadproof.plan import experiment, places
from loadproof.plan.changes import FOLDERS
from loadproof.plan.values import (
    Change,
    Desired,
    FileSpec,
    Host,
    HostDesired,
    Inventory,
    Platform,
    Promise,
    TreeSpec,
    UnitSpec,
)

PLATFORM = Platform("3.11", "x86_64", (2, 36), trees.MAGIC)
TREE = TreeSpec("app", "app-0123", PLATFORM)
ENV = FileSpec("/etc/loadproof/app.env", b"A=1\n", 0o644)
UNIT = UnitSpec(places.APP_UNIT, "running", (ENV.path, TREE.name))


def desired_of(name: str) -> HostDesired:
    return HostDesired(
        name, packages=(("cpulimit", "cpulimit"),), masked=("nginx.service",), files=(ENV,), trees=(TREE,),
        units=(UNIT,), promises=(Promise("health", 8000, "d1", "plain"),), ports=(8000,),
    )  # fmt: skip


class World:
    """Hosts that answer facts as they are and become as install.py is told."""

    root = Path()  # the test's own folder

    def __init__(self, *names: str) -> None:
        self.inventory = Inventory("x", tuple(Host(name, ("app",), name) for name in names))
        self.desired = Desired("d1", tuple(desired_of(name) for name in names), "plain", names)
        self.state: dict[str, dict[str, Any]] = {name: {"done": set(), "live": False} for name in names}
        self.extra: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, Any] = {}
        self.never_ready: set[str] = set()
        self.restarts: int | None = None  # of the app, one more at each look
        self.unit_state = "active"  # of an app that was started
        self.script = (
            Script()
            .on("facts.py", self.facts)
            .on("lock.py", lambda call: "{}")
            .on("install.py", self.install)
        )

    def facts(self, call: Call) -> str:
        state, done = self.state[call.host], self.state[call.host]["done"]
        unit = {
            "active": self.unit_state if state["live"] else "inactive",
            "restarts": self.restarts or 0,
            "sub": "",
            "pid": 1,
            "enabled": "",
            "unit_file": True,
        }
        self.restarts = None if self.restarts is None else self.restarts + 1
        up = state["live"] and self.unit_state == "active"
        health = {"deploy_id": "d1", "variant": "plain"} if up else None
        if call.host in self.never_ready:
            health = {"deploy_id": "d0", "variant": "plain"} if health else None
        answer = {
            "host": call.host, "python": "3.11", "python_exe": "/usr/bin/python3", "machine": "x86_64",
            "glibc": [2, 36], "magic": trees.MAGIC, "uid": 0, "user": "user" in done, "lock": None, "trial": None,
            "folders": {p: {"mode": m, "owner": o} if p in done else None for p, (m, o) in FOLDERS.items()},
            "files": {ENV.path: {"sha256": ENV.sha256, "mode": 0o644, "owner": "root"} if ENV.path in done else None},
            "trees": {TREE.path: TREE.path in done},
            "programs": {"cpulimit": "/usr/bin/cpulimit" if "cpulimit" in done else None},
            "units": {places.APP_UNIT: {**unit, "needs_reload": False}},
            "ports": {"8000": None}, "health": {"8000": health}, "config": {},
            "disk": {p: {"free_kb": 1 << 24, "total_kb": 1 << 25} for p in ("/opt", "/var/lib", places.OPT, places.VAR)},
        }  # fmt: skip
        return json.dumps({**answer, **self.extra.get(call.host, {})})

    def install(self, call: Call) -> str:
        if call.host in self.failed:
            return json.dumps({"done": [], "failed": self.failed[call.host]})
        for step in self.steps(call.host):
            if step["do"] in ("start", "restart"):
                self.state[call.host]["live"] = True
            name = (
                {"user": "user", "package": step.get("program")}.get(step["do"])
                or step.get("path")
                or step.get("unit")
            )
            self.state[call.host]["done"].add(name)
        return json.dumps({"done": [], "failed": None})

    def steps(self, host: str) -> list[dict[str, Any]]:
        """The last plan for this host that did more than remove older trees."""
        return [steps for name, steps in self.plans() if name == host and steps[0]["do"] != "prune"][-1]

    def plans(self) -> list[tuple[str, list[dict[str, Any]]]]:
        calls = [call for call in self.script.calls if "install.py" in call.what]
        return [
            (call.host, json.loads(call.stdin[call.stdin.rindex('{"steps"') :])["steps"]) for call in calls
        ]

    def pruned(self) -> dict[str, list[str]]:
        """Where older trees were removed, and which were kept."""
        return {host: steps[0]["keep"] for host, steps in self.plans() if steps[0]["do"] == "prune"}

    def converge(self, **options: Any) -> dict[str, apply.HostOutcome]:
        def opener(host: Host) -> FakeRemote:
            return FakeRemote(host, self.script)

        with Fleet(self.inventory, opener) as fleet:
            return apply.converge(fleet, self.desired, root=self.root, **options)

    def touched(self) -> list[str]:
        return [call.what for call in self.script.calls if "facts.py" not in call.what]


@pytest.fixture(autouse=True)
def _archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packed = tmp_path / "app-0123.tar.zst"
    packed.write_bytes(b"tree")
    monkeypatch.setattr(trees, "archive", lambda spec, root: packed)
    monkeypatch.setattr(readback, "EVERY_S", 0.001)
    monkeypatch.setattr(World, "root", tmp_path)


def test_a_bare_host_becomes_as_desired_then_nothing_changes() -> None:
    world = World("a", "b")
    first = world.converge()
    assert [(o.host, o.status) for o in first.values()] == [("a", "changed"), ("b", "changed")]
    kinds = [step["do"] for step in world.steps("a")]
    assert kinds[:2] == ["mask", "package"]
    assert kinds.index("user") < kinds.index("file") < kinds.index("start")
    tree = next(step for step in world.steps("a") if step["do"] == "tree")
    assert tree == {
        "do": "tree",
        "path": TREE.path,
        "archive": f"{apply.INCOMING}/app-0123.tar.zst",
        "compile": False,
    }
    puts = [(call.what, call.data) for call in world.script.calls if call.verb == "put"]
    assert puts == [(tree["archive"], b"tree")] * 2
    assert world.pruned() == {"a": [TREE.name], "b": [TREE.name]}
    before = len(world.script.calls)
    second = world.converge()
    assert [outcome.status for outcome in second.values()] == ["ok", "ok"]
    assert len(world.script.calls) - before == 2  # one round trip per host


def test_check_touches_nothing_and_predicts() -> None:
    world = World("a")
    predicted = world.converge(check=True)["a"]
    assert world.touched() == []
    assert predicted.status == "changed"
    assert world.converge()["a"].changes == predicted.changes


def test_check_shows_the_text_that_is_there() -> None:
    world = World("a")
    world.converge()
    world.extra["a"] = {"files": {ENV.path: {"sha256": "other", "mode": 0o644, "owner": "root"}}}
    world.script.on("base64", "Qj0yCg==\n")
    (change,) = [c for c in world.converge(check=True)["a"].changes if c.kind == "file"]
    assert (change.before, change.after) == ("B=2\n", "A=1\n")


def test_diff_without_check_shows_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the word's own function: the text is read before the file is written."""
    world = World("a")
    world.converge()
    world.extra["a"] = {"files": {ENV.path: {"sha256": "other", "mode": 0o644, "owner": "root"}}}

    def install(call: Call) -> str:
        world.extra.clear()
        return world.install(call)

    world.script.answers.insert(0, ("install.py", install))
    world.script.on("base64", "Qj0yCg==\n")
    asked = experiment.deployment({})
    monkeypatch.setattr(
        deploys, "Fleet", lambda known: Fleet(known, lambda host: FakeRemote(host, world.script))
    )
    monkeypatch.setattr(deploys.desired_state, "desired", lambda *given: world.desired)
    outcome = deploys.run(asked, world.inventory, world.root, check=False, diff=True)["a"]
    (change,) = [c for c in outcome.changes if c.kind == "file"]
    assert (outcome.status, change.before, change.after) == ("changed", "B=2\n", "A=1\n")
    assert "-B=2" in show.details({"a": outcome}, diff=True)


def test_only_these_hosts() -> None:
    world = World("a", "b")
    assert list(world.converge(hosts=["b"])) == ["b"]
    assert {call.host for call in world.script.calls} == {"b"}


@pytest.mark.parametrize(
    ("run", "then"),
    [
        (
            "20261124T010000Z-other",
            "wait for that run, come back to it with ./inv attach --run 20261124T010000Z-other, or end it with ./inv stop, "
            "then inv deploy",
        ),
        ("deploy-20261124T010000Z", "wait for that run or end it with ./inv stop, then inv deploy"),
    ],
)
def test_a_host_that_is_in_use_is_not_to_be_put_right(run: str, then: str) -> None:
    world = World("a", "b")
    world.extra["b"] = {"lock": {"owner": "eva@desk", "run": run, "until_us": 1 << 62}}
    outcomes = world.converge(run="")
    assert world.touched() == []
    for outcome in outcomes.values():
        assert outcome.problem is not None and getattr(outcome.problem, "next", "") == then
    assert run in str(outcomes["b"].problem)


def test_one_blocked_host_leaves_all_untouched() -> None:
    world = World("a", "b", "c")
    world.extra["b"] = {"ports": {"8000": {"pid": 7, "name": "python3", "unit": "other.service"}}}
    outcomes = world.converge()
    assert world.touched() == []
    assert [outcome.status for outcome in outcomes.values()] == ["failed"] * 3
    problem = outcomes["b"].problem
    assert problem is not None
    assert "python3" in problem.what
    assert "nothing was touched" in problem.kept
    assert problem.exit_code == 3
    other = outcomes["a"].problem
    assert isinstance(other, Refused)
    assert "python3" in other.what


def test_a_host_that_cannot_be_asked_blocks_an_unreachable_one_does_not() -> None:
    world = World("a", "b")
    world.extra["b"] = {"python": "3.9"}
    assert {outcome.status for outcome in world.converge().values()} == {"failed"}
    assert world.touched() == []
    world = World("a", "b")

    def gone(call: Call) -> str:
        if call.host == "b":
            raise HostUnreachable("b", "gone")
        return world.facts(call)

    world.script.answers.insert(0, ("facts.py", gone))
    outcomes = world.converge()
    assert [outcome.status for outcome in outcomes.values()] == ["changed", "unreachable"]


def test_a_step_that_fails_carries_its_last_lines() -> None:
    world = World("a", "b")
    world.failed["a"] = {"what": "package cpulimit", "exit": 100, "last_lines": "E: Unable to locate package"}
    outcomes = world.converge()
    problem = outcomes["a"].problem
    assert isinstance(problem, StepFailed)
    assert problem.exited == 100
    assert "Unable to locate" in problem.what
    assert (outcomes["a"].done, outcomes["b"].done) == (0, len(outcomes["b"].changes))
    assert outcomes["b"].status == "changed"


def test_a_failed_host_says_how_many_changes_are_done() -> None:
    """What only prepares a change (masking a unit, asking nginx) is none."""
    world = World("a")
    done = [{"do": "mask"}, {"do": "package"}, {"do": "user"}, {"do": "nginx"}]
    world.script.answers.insert(
        0, ("install.py", json.dumps({"done": done, "failed": {"what": "x", "exit": 1, "last_lines": "y"}}))
    )
    outcome = world.converge()["a"]
    assert (outcome.status, outcome.done) == ("failed", 2)
    assert f"2 of {len(outcome.changes)} done" in show.recap({"a": outcome}, check=False)


def test_a_promise_that_is_not_kept_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readback.read_back, "__defaults__", (0.02,))
    world = World("a")
    world.never_ready.add("a")
    problem = world.converge()["a"].problem
    assert isinstance(problem, NotReady)
    outcome = world.converge()["a"]
    assert outcome.done == len(outcome.changes)
    assert "d0" in problem.last_seen
    assert "not d1" in problem.last_seen


SAID = "Scheduled restart job.\nPermissionError: [Errno 13] while attempting to bind on address ('0.0.0.0', 80)\n"


def test_an_app_that_keeps_restarting_is_not_waited_for() -> None:
    """The error is there at once, in the program's own words."""
    world = World("a")
    world.unit_state, world.restarts = "activating", 7
    world.script.on("journalctl --unit loadproof-app.service .*current/app.log", SAID)
    problem = world.converge()["a"].problem
    assert isinstance(problem, StepFailed) and problem.exit_code == 3
    assert problem.what.startswith("loadproof-app.service does not stay up, systemd restarted it 3 times\n")
    assert "Errno 13" in problem.what and problem.kept and "inv deploy" in problem.next
    assert sum("facts.py" in call.what for call in world.script.calls) == 1 + 4


def test_a_unit_that_stays_down_is_not_waited_for() -> None:
    world = World("a")
    world.unit_state = "failed"
    world.script.on("journalctl", SAID)
    problem = world.converge()["a"].problem
    assert isinstance(problem, StepFailed)
    assert problem.what.startswith("loadproof-app.service is not running\nScheduled")


def test_a_promise_that_is_not_kept_comes_with_the_programs_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readback.read_back, "__defaults__", (0.02,))
    world = World("a")
    world.never_ready.add("a")
    world.script.on("journalctl", SAID)
    problem = world.converge()["a"].problem
    assert isinstance(problem, NotReady) and "Errno 13" in problem.last_seen


def test_nginx_is_asked_before_it_is_started_or_restarted() -> None:
    for verb in ("start", "restart"):
        steps = apply.steps_of(Change(verb, places.PROXY_UNIT), desired_of("a"), {})  # type: ignore[arg-type]
        assert [step["do"] for step in steps] == ["nginx", verb]
        assert steps[0]["path"] == "/etc/loadproof/nginx.conf"
    for change in (Change("stop", places.PROXY_UNIT), Change("start", places.APP_UNIT)):
        assert [step["do"] for step in apply.steps_of(change, desired_of("a"), {})] == [change.kind]


def test_an_upstream_that_nginx_cannot_resolve_names_the_remedy() -> None:
    world = World("a")
    said = 'nginx: [emerg] host not found in upstream "web1:8000" in /etc/loadproof/nginx.conf:44'
    world.failed["a"] = {"what": "nginx -t -c /etc/loadproof/nginx.conf", "exit": 1, "last_lines": said}
    problem = world.converge()["a"].problem
    assert isinstance(problem, StepFailed)
    assert "/etc/loadproof/nginx.conf:44" in problem.what
    assert "loadproof_address" in problem.next and problem.next.endswith("inv deploy")


def test_packages_from_a_folder() -> None:
    world = World("a")
    world.converge(packages_from="/srv/debs")
    assert next(s for s in world.steps("a") if s["do"] == "package")["folder"] == "/srv/debs"


def test_another_magic_number_compiles_on_the_host() -> None:
    change = Change("tree", TREE.path, data=TREE)
    (step,) = apply.steps_of(change, desired_of("a"), {"magic": "other"})
    assert step["compile"] is True and "again" not in step


def test_a_tree_that_was_changed_on_the_host_is_replaced() -> None:
    facts = {"altered": {TREE.path: {"first": "app/data.py", "number": 1}}}
    (step,) = apply.steps_of(Change("tree", TREE.path, data=TREE), desired_of("a"), facts)
    assert step["again"] is True


@pytest.mark.parametrize("dead", [False, True])
def test_a_failure_at_any_action_is_one_hosts_outcome(dead: bool) -> None:
    """For every k: the other host ends as desired or untouched, and a later deploy puts everything right."""
    k = 0
    while True:
        world = World("a", "b")
        world.script.fail_at, world.script.dead = k, dead
        outcomes = world.converge()
        if len(world.script.calls) <= k:
            break
        bad = [name for name, outcome in outcomes.items() if outcome.problem is not None]
        assert all(isinstance(outcomes[name].problem, LinkLost) for name in bad)
        assert all(outcomes[name].status == "unreachable" for name in bad)
        assert len(bad) == (1 if k < 12 else 0)  # the last two calls only make room
        world.script.fail_at, world.script.lost = None, set()
        world.converge()
        assert [outcome.status for outcome in world.converge().values()] == ["ok", "ok"]
        k += 1
    assert k == 14  # two hosts: ask, folder, put, install, read back by a glance and in full, make room


def test_older_trees_go_only_after_a_deploy_that_worked() -> None:
    for options, pruned in (({}, True), ({"run": "RUN"}, False), ({"check": True}, False)):
        world = World("a")
        world.converge(**options)  # type: ignore[arg-type]
        assert bool(world.pruned()) is pruned
    world = World("a", "b")
    world.failed["a"] = {"what": "start x", "exit": 1, "last_lines": ""}
    world.converge()
    assert list(world.pruned()) == ["b"]


def test_a_tree_that_cannot_be_built_touches_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(spec: TreeSpec, root: Path) -> Path:
        raise StepFailed("this machine", "pip", 1, "no wheel")

    monkeypatch.setattr(trees, "archive", fails)
    world = World("a")
    with pytest.raises(LoadproofError, match="no wheel"):
        world.converge()
    assert world.touched() == []


def test_hosts_that_are_taken_while_we_asked_are_not_touched() -> None:
    world = World("a", "b")
    held: list[str] = []

    @contextmanager
    def taken(names: Iterable[str]) -> Iterator[None]:
        held.extend(names)
        raise Refused("a is in use by anna", where="host a", kept="nothing was touched")
        yield

    outcomes = world.converge(hold=taken)
    assert held == ["a", "b"] and {name: one.status for name, one in outcomes.items()} == {
        "a": "failed",
        "b": "failed",
    }
    assert world.touched() == []
