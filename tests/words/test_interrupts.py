"""Ctrl-C, SIGTERM, SIGHUP, kill -9 at each stage of a trial: what is left on the hosts, and the way back."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.words.trials import (
    SHORT,
    STAGES,
    Run,
    assert_quiet,
    assert_sealed,
    bench,
    fetch,
    going,
    inv,
    once,
)
from tests.words.words import HOSTS, Message, Said, Shell, Words, judged, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

LOAD = ("--hold", "6s", "--timeout", "4s")
CLOSED_FROM = STAGES.index("facts")  # from here on there is something to stop, to lift and to seal
AT_ONCE_S = 2.0


@pytest.fixture(autouse=True)
def lets_go(words: Words, shell: Shell) -> Iterator[None]:
    """A test that fails half way leaves no load and no lock of its own to the next one."""
    yield
    held = shell.each("cat /run/loadproof/lock.json 2>/dev/null; true")
    if any(path.name in text for text in held.values() for path in words.results.glob("2*")):
        once(words, "stop")


def four_parts(said: Said, run: Run) -> Message:
    """Interrupted, in four parts, with the run in it."""
    assert said.code == 4 and "Traceback" not in said.err, said
    message = said.message
    assert message.error and message.kept and message.next, said
    assert run.id in message.where, said
    return message


def interrupt(words: Words, number: signal.Signals, stage: str) -> tuple[Said, Run]:
    """A bench that gets a signal as soon as a stage has begun."""
    with going(words, *SHORT, *LOAD) as begun:
        begun.reached(stage)
        begun.send(number)
        said = begun.ended()
    return said, begun.run


# the others take as long and find less
QUICK = ("warm", "load", "watch")
EACH_STAGE = [
    pytest.param(stage, marks=() if stage in QUICK else pytest.mark.long) for stage in dict.fromkeys(STAGES)
]


# SIGHUP and SIGTERM take one way through the program (the quick tests of `signals` have both), SIGKILL takes none
GOING = [
    signal.SIGKILL,
    *(pytest.param(one, marks=pytest.mark.long) for one in (signal.SIGHUP, signal.SIGTERM)),
]


@pytest.mark.parametrize("stage", EACH_STAGE)
def test_ctrl_c_stops_lifts_seals_and_lets_go(words: Words, shell: Shell, stage: str) -> None:
    said, run = interrupt(words, signal.SIGINT, stage)
    message = four_parts(said, run)
    assert message.error.startswith("Ctrl-C")
    assert_quiet(shell)
    if STAGES.index(stage) < CLOSED_FROM:
        assert "before anything was measured" in message.error and "the next bench resets" in message.kept
        assert "seal" not in run.stages()
        return
    assert [one for one in run.stages() if one in ("stop", "lift", "seal")] == ["stop", "lift", "seal"]
    assert run.stages("end")[-1] in ("seal", "trial")
    assert f"fetch-results --run {run.id}" in message.next
    assert_sealed(shell, run)
    if stage == "warm":  # nothing was measured: that is said, it is no fault
        fetched = inv(words, "fetch-results", "--run", run.id)
        assert fetched.code in (0, 2) and "Traceback" not in fetched.err, fetched
        assert run.results["arms"][0]["requests"] is None and "incomplete" in fetched.out


def test_what_was_measured_until_ctrl_c_can_be_read(words: Words, shell: Shell) -> None:
    with going(words, *SHORT, "--hold", "20s") as begun:
        begun.live(4)
        begun.send(signal.SIGINT)
        said = begun.ended()
    four_parts(said, begun.run)
    assert_quiet(shell)
    judged(inv(words, "fetch-results", "--run", begun.run.id))
    (arm,) = begun.run.results["arms"]
    assert arm["requests"] > 0 and arm["window"]["to_s"] < 15


def test_a_second_ctrl_c_leaves_at_once_and_the_hosts_are_not_forgotten(words: Words, shell: Shell) -> None:
    with going(words, *SHORT, "--hold", "20s") as begun:
        begun.reached("watch")
        begun.send(signal.SIGINT)
        begun.reached("stop")
        begun.send(signal.SIGINT)
        said = begun.ended(within_s=AT_ONCE_S)
    assert said.code == 4 and "left at once" in said.err, said
    show = "systemctl show -p RuntimeMaxUSec loadproof-sample.service"
    bounds = shell.each(show) | {
        "limit": shell.run("app1", f"{show} loadproof-limit.service"),
        "load": shell.run("load1", f"{show} loadproof-load@master.service loadproof-load@1.service"),
    }
    assert not any("infinity" in bound for bound in bounds.values()), "each host ends it by itself"
    back(words, begun.run)
    assert_quiet(shell)
    assert_sealed(shell, begun.run)


def back(words: Words, run: Run) -> Said:
    """`./inv attach`, to the end."""
    said = inv(words, "attach", "--run", run.id)
    assert said.code == 0, said
    assert f"sealed on the hosts: run {run.id}" in said.err, said
    return said


def assert_complete(words: Words, shell: Shell, run: Run) -> None:
    """The run is as good as one that nobody disturbed."""
    assert_quiet(shell)
    assert_sealed(shell, run)
    said = fetch(words, run)
    assert "incomplete" not in said.out, said
    (arm,) = run.results["arms"]
    load = run.plan["load"]
    assert arm["window"]["to_s"] == load["end_s"], "to its planned end"
    assert (arm["failures"], arm["window"]["users"]) == (0, load["users"])
    facts = [json.loads(line)["when"] for line in (run.trial / "facts.jsonl").read_text().splitlines()]
    assert facts.count("before") == facts.count("after") == len(HOSTS)


@pytest.mark.parametrize("number", GOING, ids=lambda one: one.name)
def test_the_load_goes_on_and_attach_comes_back(words: Words, shell: Shell, number: signal.Signals) -> None:
    with going(words, *SHORT, "--hold", "10s") as begun:
        begun.live(1)
        before = shell.run("load1", "systemctl show -p MainPID loadproof-load@master.service")
        begun.send(number)
        said = begun.ended()
    run = begun.run
    if number != signal.SIGKILL:
        message = four_parts(said, run)
        assert number.name in message.error and "nothing was touched" in message.error
        assert f"./inv attach --run {run.id}" in message.next
        assert run.journal()[-1]["event"] == "detached"
    assert said.seconds < 5
    assert shell.run("load1", "systemctl show -p MainPID loadproof-load@master.service") == before
    assert shell.active("app1", "loadproof-limit.service") == "active"
    held = once(words, "bench", *SHORT, *LOAD)  # it is not given away meanwhile
    assert held.code == 3 and run.id in held.message.error, held
    back(words, run)
    assert_complete(words, shell, run)


def sealed_at(shell: Shell, run: Run, hosts: tuple[str, ...]) -> dict[str, str]:
    """Name, size, time and inode of every file of the trial: what is written anew differs, whatever is in it."""
    return shell.each(f"cd {run.out} && find . -type f -printf '%p %s %T@ %i\\n' | sort", hosts)


def row_of(words: Words, run: Run) -> str:
    """Its line of `inv runs`."""
    (row,) = [line for line in inv(words, "runs").out.splitlines() if run.id in line]
    return row


@pytest.mark.long
def test_a_host_that_could_not_be_sealed_is_sealed_by_attach(words: Words, shell: Shell) -> None:
    others = tuple(host for host in HOSTS if host != "proxy")
    with going(words, *SHORT, "--hold", "2s", "--timeout", "4s") as begun:
        begun.reached("watch")
        # no file can be renamed onto a folder: the manifest has no place
        shell.run("proxy", f"mkdir {begun.run.out}/manifest.json")
        said = begun.ended()
    run = begun.run
    assert said.code == 3 and said.message.error.startswith("exit 1 from: "), said
    assert "host proxy, stage seal" in said.message.where and run.id in said.message.where, said
    assert "not all of it is sealed" in said.message.kept and f"attach --run {run.id}" in said.message.next
    done = {(one["host"], one["event"]) for one in run.journal() if one.get("action") == "seal"}
    assert done == {("proxy", "failed"), *((host, "action") for host in others)}
    assert "seal" not in run.stages("end") and f"left: ./inv attach --run {run.id}" in row_of(words, run)
    assert_quiet(shell)
    shell.run("proxy", f"rmdir {run.out}/manifest.json")
    before, facts = sealed_at(shell, run, others), (run.trial / "facts.jsonl").read_bytes()
    back(words, run)
    assert sealed_at(shell, run, others) == before
    assert (run.trial / "facts.jsonl").read_bytes() == facts, "nobody asked hosts again"
    assert tuple(run.stages()) == (*STAGES, "stop", "lift", "seal"), "closed again, and no more"
    assert run.stages("end")[-1] == "seal" and "sealed on the hosts" in row_of(words, run)
    assert_complete(words, shell, run)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
@pytest.mark.parametrize("stage", dict.fromkeys(STAGES))
def test_a_detach_at_any_stage_can_be_taken_up(
    words: Words, shell: Shell, stage: str, number: signal.Signals
) -> None:
    said, run = interrupt(words, number, stage)
    message = four_parts(said, run)
    assert number.name in message.error and f"./inv attach --run {run.id}" in message.next
    back(words, run)
    assert_quiet(shell)
    assert_sealed(shell, run)
    assert_complete(words, shell, run)


@pytest.mark.long
def test_hosts_end_by_themselves_when_nobody_comes_back(words: Words, shell: Shell) -> None:
    with going(words, *SHORT, "--hold", "2s", "--timeout", "1s") as begun:
        begun.live(1)
        begun.send(signal.SIGKILL)
        begun.ended()
    plan = begun.run.plan
    within = plan["planned_s"] + plan["margin_s"] + 15

    def over() -> bool:
        units = "systemctl is-active 'loadproof-load@*' loadproof-limit loadproof-sample | grep -qx active"
        return not any(text.strip() for text in shell.each(f"{units} && echo busy; true").values())

    until(over, "load, limit and samplers have ended", within)
    back(words, begun.run)
    assert_complete(words, shell, begun.run)


@pytest.mark.long
@pytest.mark.parametrize("stage", ["apply", "warm"])
def test_a_bench_that_is_killed_before_its_load_is_run_again(words: Words, shell: Shell, stage: str) -> None:
    with going(words, *SHORT, *LOAD) as begun:
        begun.reached(stage)
        early = once(words, "attach", "--run", begun.run.id)  # while it is alive it is not ours to take up
        assert early.code == 3 and "being conducted" in early.message.error, early
        begun.send(signal.SIGKILL)
        begun.ended()
    back(words, begun.run)
    assert_quiet(shell)
    assert_complete(words, shell, begun.run)


def test_what_stop_sealed_can_be_fetched(words: Words, shell: Shell) -> None:
    """The bench is dead, so no journal says that anything was sealed: the hosts do."""
    with going(words, *SHORT, "--hold", "20s") as begun:
        begun.live(2)
        begun.send(signal.SIGKILL)
        begun.ended()
    stopped = once(words, "stop")
    assert stopped.code == 0 and f"sealed run {begun.run.id}" in stopped.out, stopped
    assert_quiet(shell)
    said = judged(inv(words, "fetch-results", "--run", begun.run.id))
    assert begun.run.results["arms"][0]["whole_run"]["requests"], said


def test_a_bench_that_is_stopped_says_so(words: Words, shell: Shell) -> None:
    with going(words, *SHORT, "--hold", "30s") as begun:
        begun.live(2)
        assert once(words, "stop").code == 0
        said = begun.ended()
    assert said.code == 3 and "the load ended after" in said.message.error, said
    assert_quiet(shell)


def test_a_second_bench_is_refused_and_named(words: Words, shell: Shell) -> None:
    with going(words, *SHORT, *LOAD) as begun:
        begun.reached("ready")
        results = sorted(words.results.iterdir())
        said = once(words, "bench", *SHORT, *LOAD)
        assert sorted(words.results.iterdir()) == results
        status = once(words, "status")
        assert said.code == 3, said
        message = said.message
        assert begun.run.id in message.error and "in use by" in message.error, said
        assert "nothing was touched" in message.kept and "inv stop" in message.next, said
        assert begun.run.id in status.out, status
        first = begun.ended()
    assert first.code == 0, first
    assert_quiet(shell)


@pytest.mark.long
def test_a_bench_after_all_that_works(words: Words, shell: Shell) -> None:
    run = bench(words, "--servers", "2", "--hold", "2s")
    assert_complete(words, shell, run)
