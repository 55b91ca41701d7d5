"""What Locust loads on every load host: the scenario and the table of the trial, as master or as one worker."""

# Locust is not in the environment that checks types: its classes are Any there.
# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

import os
from typing import Any

from locust import events

from loadtests import scenarios, start, trial
from loadtests.master import Master
from loadtests.shape import TableShape
from loadtests.worker import Worker, prepare_locust

TRIAL = trial.read(trial.path())
INSTANCE = os.environ[start.INSTANCE_VARIABLE]

# Locust takes the user classes it finds among the names of this module.
globals().update(scenarios.users(TRIAL.scenario))


class Table(TableShape):
    """The table of this trial."""

    trial = TRIAL


if INSTANCE != start.MASTER:
    prepare_locust(int(INSTANCE))


@events.init.add_listener
def on_init(environment: Any, **_: Any) -> None:
    """Attach our part to Locust's, when master and workers have found each other."""
    part = Master(TRIAL) if INSTANCE == start.MASTER else Worker(TRIAL, int(INSTANCE))
    part.attach(environment)
