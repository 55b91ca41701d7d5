"""Several load hosts: one master, workers spread, and the master's port shut to everybody else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lab.config import LabConfig
from lab.down import down
from lab.up import up
from tests.words.trials import Run, going, inv, newest, recompute
from tests.words.words import Shell, Words, judged, plain_ssh

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SHORT = ("--servers", "1", "--limiter", "none", "--interval", "1s", "--settle", "1s", "--hold", "5s")
KNOCK = "timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/5557' 2>&1 && echo open; true"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabConfig]:
    """A lab beside the standing one, with two load hosts; only the image is shared."""
    mark = os.getpid() % 50
    made = replace(
        LabConfig.of(tmp_path_factory.mktemp("lab"), {}),
        images=LabConfig.of(environ={}).images,
        net=IPv4Network(f"198.18.{200 + mark}.0/24"),
        bridge=f"lw{mark}-br0",
        prefix=f"lw{mark}-",
        owner=Path(f"/run/loadproof-lab-words{mark}.json"),
    )
    try:
        assert up(1, 2, config=made).up
        yield made
    finally:
        down(purge=True, config=made)


@pytest.fixture(scope="module")
def ours(config: LabConfig, tmp_path_factory: pytest.TempPathFactory) -> Words:
    return Words(tmp_path_factory.mktemp("results"), config.inventory)


@pytest.fixture(scope="module")
def on(config: LabConfig) -> Iterator[Shell]:
    with plain_ssh(config.inventory) as made:
        yield made


def fetched(words: Words) -> Run:
    run = newest(words)
    judged(inv(words, "fetch-results", "--run", run.id))
    recompute(run)
    return run


def test_workers_of_two_hosts_make_one_load_and_nobody_else_reaches_the_master(
    ours: Words, on: Shell
) -> None:
    with going(ours, *SHORT, "--processes", "3", "--threads", "2", "-i", str(ours.inventory)) as begun:
        begun.live(1)
        address = on.addresses["load1"]
        assert "open" not in on.run("app1", KNOCK.format(address=address))
        assert "open" not in on.run("proxy", KNOCK.format(address=address))
        assert "open" in on.run("load2", KNOCK.format(address=address))
        said = begun.ended()
    assert said.code == 0, said
    run = fetched(ours)
    rows = {
        host: sorted(path.name for path in run.raw(host).glob("requests-*.rows"))
        for host in ("load1", "load2")
    }
    assert rows == {"load1": ["requests-1.rows", "requests-3.rows"], "load2": ["requests-2.rows"]}
    (arm,) = run.results["arms"]
    assert arm["window"]["users"] == 6 and arm["requests"] > 0


@pytest.mark.long
def test_fewer_processes_than_load_hosts(ours: Words) -> None:
    said = inv(ours, "bench", *SHORT, "--processes", "1", "--threads", "2")
    assert said.code == 0, said
    assert fetched(ours).results["arms"][0]["window"]["users"] == 2


@pytest.mark.long
def test_one_load_host_after_two(ours: Words, tmp_path: Path) -> None:
    """What kept others from the master must not keep the only load host from its own."""
    data = YAML(typ="safe").load(ours.inventory.read_text())
    del data["all"]["children"]["load"]["hosts"]["load2"]
    with (tmp_path / "hosts.yml").open("w") as file:
        YAML(typ="safe").dump(data, file)
    fewer = Words(ours.results, tmp_path / "hosts.yml")
    said = inv(fewer, "bench", *SHORT, "--processes", "2", "--threads", "1")
    assert said.code == 0, said
    assert fetched(fewer).results["arms"][0]["window"]["users"] == 2
