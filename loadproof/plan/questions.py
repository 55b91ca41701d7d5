"""Experiment files: a question as YAML, with the names that flags have, factors with their levels, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from loadproof.errors import Problem
from loadproof.plan import allowed, marked
from loadproof.plan.settings import APP, Given

FOLDER = "experiments"
FACTORS, THRESHOLDS = "factors", "thresholds"


def names(root: Path) -> tuple[str, ...]:
    """The experiments that are shipped."""
    return tuple(sorted(path.stem for path in (root / FOLDER).glob("*.yml")))


def read(name: str, root: Path, problems: list[Problem]) -> Given:
    """The values and factors of an experiment: of a shipped one by its name, of any other by its path. What is wrong is
    added to `problems`, with file and line."""
    path = root / FOLDER / f"{name}.yml"
    if "/" in name or name.endswith((".yml", ".yaml")):
        path = Path(name)
    elif name not in names(root):
        hint = allowed.did_you_mean(name, names(root))
        problems.append(
            Problem(f"there is no experiment {allowed.shown(name)}: {', '.join(names(root))}{hint}")
        )
        return Given(name, {})
    shown = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    if not path.is_file():
        problems.append(Problem("there is no such file", shown))
        return Given(shown, {})
    node = marked.compose(path, shown, problems)
    if node is not None and not marked.is_mapping(node):
        problems.append(
            Problem("an experiment is a mapping: name: value in each line", marked.where(node, shown))
        )
        node = None
    found = _Found(shown, problems)
    for entry in [] if node is None else marked.entries(node, shown, problems):
        found.take(entry.key, entry.node, entry.where)
    found.values.setdefault("name", path.stem.lower().replace(" ", "-")[:40])
    return Given(shown, found.values, found.places, found.factors, tuple(found.thresholds))


def overrides(settings: Sequence[str], problems: list[Problem]) -> Iterator[Given]:
    """--set key=value, one layer each, so that the last one wins: "hold=30s", "app.NAME=3", "factors.servers=1,2"."""
    for text in settings:
        key, equals, value = text.partition("=")
        key, flag = key.strip(), f"--set {text}"
        if not equals or not key:
            problems.append(Problem(f"{allowed.shown(text)} is no setting: write key=value", "--set"))
        elif key.startswith(f"{FACTORS}."):
            name = key.removeprefix(f"{FACTORS}.")
            levels = tuple(
                part.strip() for part in value.strip().removeprefix("[").removesuffix("]").split(",")
            )
            yield Given(flag, {}, {name: flag}, {name: levels})
        else:
            yield Given(flag, {key: value.strip()}, {key: flag})


class _Found:
    """What a file holds, entry by entry."""

    def __init__(self, shown: str, problems: list[Problem]) -> None:
        self.shown, self.problems = shown, problems
        self.values: dict[str, str] = {}
        self.places: dict[str, str] = {}
        self.factors: dict[str, tuple[str, ...]] = {}
        self.thresholds: list[tuple[str, str]] = []

    def take(self, key: str, node: Any, where: str) -> None:
        """An entry of the file: a value, the factors, or the app's settings."""
        if key == FACTORS:
            for one in self._mapping(key, node, where):
                self._factor(one.key, one.node, one.where)
        elif key == THRESHOLDS:
            listed = node.value if marked.is_sequence(node) else [node]
            self.thresholds += [(marked.text_of(one) or "", marked.where(one, self.shown)) for one in listed]
        elif key == APP.rstrip("."):
            for one in self._mapping(key, node, where):
                self._value(APP + one.key, one.node, one.where)
        else:
            self._value(key, node, where)

    def _mapping(self, key: str, node: Any, where: str) -> list[marked.Entry]:
        if marked.is_mapping(node):
            return marked.entries(node, self.shown, self.problems)
        self.problems.append(Problem(f"{key} is a mapping of names", where))
        return []

    def _value(self, key: str, node: Any, where: str) -> None:
        text = marked.text_of(node)
        if text is None:
            levels = f"; its levels belong under {FACTORS}" if marked.is_sequence(node) else ""
            self.problems.append(Problem(f"{key} has no value{levels}", where))
            return
        self.values[key], self.places[key] = text, where

    def _factor(self, key: str, node: Any, where: str) -> None:
        levels = [marked.text_of(one) for one in node.value] if marked.is_sequence(node) else []
        if not levels or None in levels:
            self.problems.append(Problem(f"{key}: a factor has a list of levels, as in [1, 2]", where))
            return
        self.factors[key], self.places[key] = tuple(str(level) for level in levels), where
