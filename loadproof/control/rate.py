"""Measures how fast the load generator can go: a stage of its own, before the first trial of a run resets everything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from loadproof.control import explain, perform
from loadproof.control.perform import Recorder, Remotes
from loadproof.control.signals import Detached, Signals
from loadproof.errors import Interrupted, LoadproofError
from loadproof.plan import rate
from loadproof.plan.values import Inventory, TrialPlan


def measure(
    trial: TrialPlan,
    inventory: Inventory,
    remotes: Remotes,
    record: Recorder,
    converge: Callable[[], None],
    signals: Signals,
) -> list[dict[str, Any]]:
    """One line of facts.jsonl per load host that has workers; none of a host where nothing could be counted, which the
    journal explains. Raises Interrupted, and whatever keeps hosts from being reset and brought to their desired state:
    there is no trial without that either."""
    with explain.whatever(explain.NOT_BEGUN):
        perform.stage(rate.before(inventory, trial), remotes, record)
        with _named("apply"):
            converge()
        outcomes: list[perform.Outcome] = []
        try:
            outcomes = perform.stage(rate.measuring(inventory, trial), remotes, record)
        except Detached:
            raise  # nothing is touched: the workers end by themselves
        except LoadproofError as error:
            _end(trial, inventory, remotes, record, signals)
            if isinstance(error, Interrupted):
                raise
            record.write(rate.NAME, "note", detail=error.what)
        else:
            _end(trial, inventory, remotes, record, signals)
    return [rate.fact(host, said) for host, said in _said(outcomes, record) if "rate" in said]


@contextmanager
def _named(stage: str) -> Iterator[None]:
    """Errors of the block say the stage, as those of a trial do."""
    try:
        yield
    except LoadproofError as error:
        error.where = f"{error.where}, stage {stage}" if error.where else f"stage {stage}"
        raise


def _end(
    trial: TrialPlan, inventory: Inventory, remotes: Remotes, record: Recorder, signals: Signals
) -> None:
    # a host that cannot be asked now ends its load within seconds by itself, and the trial's reset asks it again
    with signals.shield(), suppress(LoadproofError):
        perform.stage(rate.ending(inventory, trial), remotes, record)


def _said(outcomes: list[perform.Outcome], record: Recorder) -> Iterator[tuple[str, dict[str, Any]]]:
    """(host, what rate.py printed there); what it could not do is noted."""
    for outcome in outcomes:
        if outcome.action.name == rate.NAME and outcome.finished is not None:
            said, host = json.loads(outcome.finished.stdout), outcome.action.host
            if "why" in said:
                record.write(rate.NAME, "note", host=host, detail=said["why"])
            yield host, said
