"""What is decided around a trial, without any host."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadproof.campaign import hosts, preview
from loadproof.console import plan as show
from loadproof.control import probe
from loadproof.errors import BadInput
from loadproof.plan import experiment
from loadproof.plan.values import Host, Inventory, Platform
from words import talk

ROOT = Path(__file__).resolve().parents[2]
HOSTS = Inventory(
    "made.yml",
    (
        Host("app1", ("app",), "198.18.0.1", address="198.18.0.1", ports=(("app", 8000),)),
        Host("proxy", ("proxy",), "198.18.0.3", address="198.18.0.3", ports=(("proxy", 8080),)),
        Host("load1", ("load",), "198.18.0.4", address="198.18.0.4", platform="cp312-x86_64"),
    ),
)


def test_facts_of_a_host_that_nobody_knows() -> None:
    with pytest.raises(BadInput, match="there is no host 'app'; did you mean app1?") as caught:
        hosts.facts(HOSTS, ["app"])
    assert caught.value.exit_code == 64
    assert "app1,proxy,load1" in caught.value.next


def test_a_plan_says_which_python_it_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "remembered", lambda root: {})
    asked = experiment.from_flags({"servers": "1"})
    text = show.plan(preview.preview(asked, HOSTS, ROOT), files=False)
    assert "assumed: Python 3.11 on x86_64, glibc 2.36, for app1, not declared" in text


def test_a_plan_uses_what_an_earlier_probe_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Platform("3.13", "aarch64", (2, 41), "x")
    monkeypatch.setattr(probe, "remembered", lambda root: {probe.key(HOSTS.host("app1")): found})
    made = preview.preview(experiment.from_flags({"servers": "1"}), HOSTS, ROOT)
    trees = {tree.platform for host in made.desired["01"].hosts for tree in host.trees if host.host == "app1"}
    assert (made.assumed, found in trees) == ((), True)
    assert "assumed" not in show.plan(made, files=False)


def test_a_plan_for_more_servers_than_there_are_says_what_bench_says() -> None:
    with pytest.raises(
        BadInput, match=r"--servers: 3 servers asked, but .* made.yml has 1 host \(app1\)"
    ) as caught:
        preview.preview(experiment.from_flags({"servers": "3"}), HOSTS, ROOT)
    assert "lab.up --app" in caught.value.next


def test_what_hosts_said_is_made_safe_before_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    talk.say("app1: the limit was \x1b]0;title\x07 set\nnext line")
    assert capsys.readouterr().err == "app1: the limit was \\x1b]0;title\\x07 set\nnext line\n"
