"""run.json, plan.json and facts.jsonl: frozen values to JSON and back, with a format version."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from loadproof.errors import RecordUnreadable
from loadproof.plan import openload
from loadproof.plan.values import Experiment, Inventory, TrialPlan
from loadproof.runfolder import atomic, disk, journal
from loadproof.runfolder.formats import FIRST_RESERVED_WORKER, FORMAT
from loadproof.runfolder.paths import RunFolder

T = TypeVar("T")
MOST_S, MOST_USERS = 1e7, 10**6  # of a load: four months, and a million


def to_json(value: Any) -> Any:
    """A frozen value as plain JSON: dataclasses become objects, tuples lists, paths text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def from_json(kind: type[T], data: Any) -> T:
    """The frozen value that `to_json` wrote. Unknown keys are left out; raises TypeError or KeyError otherwise."""
    if not isinstance(data, dict):
        raise TypeError(f"{kind.__name__} is an object, not {type(data).__name__}")
    hints = typing.get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name in data:
            found[field.name] = _typed(hints[field.name], data[field.name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise KeyError(field.name)
    return kind(**found)


def _typed(hint: Any, data: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, data)
    if origin is tuple:
        if not isinstance(data, list):
            raise TypeError(f"{data!r} is no list")
        kinds = [arguments[0]] * len(data) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(data):
            raise TypeError(f"{len(data)} values where {len(kinds)} are wanted")
        return tuple(_typed(kind, item) for kind, item in zip(kinds, data, strict=True))
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        return _typed(next(item for item in arguments if item is not type(None)), data)
    if origin is typing.Literal and data not in arguments:
        raise TypeError(f"{data!r} is none of {', '.join(map(str, arguments))}")
    if origin is dict and not isinstance(data, dict):
        raise TypeError(f"{data!r} is no object")
    if hint is Any and isinstance(data, list):
        return tuple(_typed(Any, item) for item in data)
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if hint in (int, float, str, bool) and not isinstance(data, hint):
        raise TypeError(f"{data!r} is no {hint.__name__}")
    if isinstance(data, float) and not math.isfinite(data):
        raise TypeError(f"{data!r} is no number")
    return data


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of the run folder with its format checked. Raises RecordUnreadable."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordUnreadable(f"{path.name}: {error.strerror}", where=str(path)) from None
    except (ValueError, RecursionError) as error:
        raise RecordUnreadable(f"{path.name} is no JSON: {error}", where=str(path)) from None
    if not isinstance(data, dict):
        raise RecordUnreadable(f"{path.name} is no JSON object", where=str(path))
    version = data.get("format")
    if not isinstance(version, int) or version < 1:
        raise RecordUnreadable(f"{path.name} names no format version", where=str(path))
    if version > FORMAT:
        raise RecordUnreadable(
            f"{path.name} has format {version}; this loadproof reads up to {FORMAT}",
            where=str(path),
            kept="nothing was changed",
            next="use the newer loadproof that wrote it",
        )
    return data


def write_plan(path: Path, trial: TrialPlan) -> None:
    """plan.json of one trial."""
    with disk.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(path, {"format": FORMAT, **to_json(trial)})


def read_plan(path: Path) -> TrialPlan:
    """The TrialPlan of a plan.json. Raises RecordUnreadable."""
    plan = _value(path, TrialPlan, _served(read_json(path)))
    if problem := _impossible(plan):
        raise RecordUnreadable(f"{path.name}: not a plan: {problem}", where=str(path))
    return plan


def _served(data: dict[str, Any]) -> dict[str, Any]:
    """What serves as one value; format 1 has its two settings beside the others."""
    if "serving" in data or not {"variant", "rows"} <= data.keys():
        return data
    return {**data, "serving": {"variant": data["variant"], "rows": data["rows"]}}


def _asked(data: dict[str, Any]) -> dict[str, Any]:
    """A run's experiment with its arms; format 1 has one per number of servers, alike in all else."""
    experiment = data.get("experiment")
    if not isinstance(experiment, dict) or "arms" in experiment:
        return data
    levels = experiment.get("servers")
    arms = [
        {
            **_served(experiment),
            "label": f"servers={level}",
            "factors": [["servers", level]],
            "servers": level,
        }
        for level in (levels if isinstance(levels, list) else [])
    ]
    return {**data, "experiment": {**experiment, "arms": arms}}


def _impossible(plan: TrialPlan) -> str:
    """What no plan of ours can hold, in words: a damaged number is no reason to count to it."""
    load = plan.load
    if not all(0 < number < FIRST_RESERVED_WORKER for _, number in plan.workers):
        return "a Locust worker's number"
    if load.rate is not None and not openload.possible(load):
        return "a rate of its requests"
    times = (load.ramp_end_s, load.settle_s, load.hold_s, load.end_s, load.think_s, load.timeout_s)
    if not all(0 <= second <= MOST_S for second in (*times, *(at for at, _ in load.table))):
        return "a time of its load"
    return "" if all(0 <= users <= MOST_USERS for _, users in load.table) else "a number of its users"


def _value(path: Path, kind: type[T], data: Any) -> T:
    try:
        return from_json(kind, data)
    except (TypeError, KeyError, ValueError, StopIteration) as error:
        raise RecordUnreadable(f"{path.name}: not a {kind.__name__}: {error}", where=str(path)) from None


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """run.json: what was asked, on which hosts, by what; written before anything is touched."""

    run: str
    experiment: Experiment
    inventory: Inventory
    provenance: dict[str, Any]
    command: tuple[str, ...]
    trials: tuple[str, ...]  # folders of the trials planned so far
    sources: tuple[str, ...] = ()  # run folders that a report was made of


def write_run(
    folder: RunFolder, experiment: Experiment, inventory: Inventory, provenance: Any, command: Sequence[str],
    trials: Iterable[TrialPlan],
) -> None:  # fmt: skip
    """run.json of a run that is about to begin."""
    names = tuple(trial.folder for trial in trials)
    record = RunRecord(folder.id, experiment, inventory, to_json(provenance), tuple(command), names)
    atomic.write_json(folder.run, {"format": FORMAT, **to_json(record)})


def add_trial(folder: RunFolder, trial: TrialPlan) -> None:
    """Name one more trial in run.json: one that was planned from what others measured."""
    data = read_json(folder.run)
    known = [name for name in data.get("trials", []) if name != trial.folder]
    atomic.write_json(folder.run, {**data, "trials": [*known, trial.folder]})


def read_run(folder: RunFolder) -> RunRecord:
    """The RunRecord of a run. Raises RecordUnreadable."""
    return _value(folder.run, RunRecord, _asked(read_json(folder.run)))


def append_facts(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add lines to facts.jsonl: {"when","host","facts","offset"}."""
    with disk.writing(path), path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()


def read_facts(path: Path) -> journal.Lines:
    """The lines of facts.jsonl. Raises RecordUnreadable."""
    return journal.read(path)
