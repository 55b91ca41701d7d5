"""What is asked before and after a load."""

from __future__ import annotations

from pathlib import Path

from loadproof.plan import desired, drift
from loadproof.plan.values import Inventory, Platform, Serving
from tests.analysis import synthetic

INVENTORY = Inventory("inventory/made.yml", synthetic.HOSTS)
ROOT = Path(__file__).resolve().parents[2]


def test_every_host_is_asked_for_all_that_was_deployed_there() -> None:
    """Each file of the desired state is named, or lies in a folder that is."""
    trial = synthetic.plan(servers=2)
    platform = Platform("3.11", "x86_64", (2, 36), "a70d0d0a")
    state = desired.desired(
        INVENTORY, Serving(), trial.apps, 1, {host.name: platform for host in synthetic.HOSTS}, ROOT
    )
    for host in state.hosts:
        question = drift.question(trial, INVENTORY, host.host)
        asked = set(question["files"])
        for file in host.files:
            assert file.path in asked or f"{Path(file.path).parent}/*" in asked, file.path
        for tree in host.trees:
            assert f"{Path(tree.path).parent}/*" in question["trees"]


def test_apps_of_the_arm_and_nginx_are_asked_what_they_are() -> None:
    trial = synthetic.plan(servers=1)
    questions = {host.name: drift.question(trial, INVENTORY, host.name) for host in synthetic.HOSTS}
    assert {name: one["health"] for name, one in questions.items() if one["health"]} == {
        "app1": [{"port": 8000}]
    }
    assert {name: one["config"] for name, one in questions.items() if one["config"]} == {
        "proxy1": [{"port": 8079}]
    }
    assert questions["app1"]["units"] == ["loadproof-app.service"]
    assert questions["app2"]["units"] == []  # idle in this arm
