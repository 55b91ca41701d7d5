"""YAML 1.2 with line numbers: every mapping entry knows where it stands, and no key may stand twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from loadproof.errors import Problem

_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True)
class Setting:
    """A variable as written: `text` is None for null and for what is no scalar (then `scalar` is false)."""

    text: str | None
    where: str
    scalar: bool = True


@dataclass(frozen=True)
class Entry:
    """One key of a mapping, where it stands, and the node of its value."""

    key: str
    where: str
    node: Any


def compose(path: Path, shown: str, problems: list[Problem]) -> Any:
    """The root node of a YAML file, or None (an empty file, or problems were added)."""
    try:
        text = path.read_bytes().decode("utf-8")
        return YAML(typ="safe", pure=True).compose(text)
    except UnicodeDecodeError as error:
        problems.append(Problem(f"this is no UTF-8 text (byte {error.start})", shown))
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        problems.append(Problem(f"this is no YAML: {error.problem or error.context}", f"{shown}{line}"))
    except RecursionError:
        problems.append(Problem("this is nested too deeply to be read", shown))
    except YAMLError as error:
        problems.append(Problem(f"this is no YAML: {' '.join(str(error).split())}", shown))
    return None


def where(node: Node, shown: str) -> str:
    """file:line of a node."""
    return f"{shown}:{node.start_mark.line + 1}"


def is_mapping(node: Any) -> bool:
    """Whether a node is a mapping."""
    return isinstance(node, MappingNode)


def is_sequence(node: Any) -> bool:
    """Whether a node is a list."""
    return isinstance(node, SequenceNode)


def is_null(node: Any) -> bool:
    """Whether a node is absent, null or empty."""
    return node is None or (isinstance(node, ScalarNode) and node.tag == _NULL)


def text_of(node: Any) -> str | None:
    """The text of a scalar; None for null and for what is no scalar."""
    return str(node.value) if isinstance(node, ScalarNode) and node.tag != _NULL else None


def entries(node: Any, shown: str, problems: list[Problem], above: tuple[Any, ...] = ()) -> list[Entry]:
    """The entries of a mapping in order, merge keys (<<) resolved.

    A key that stands twice is a problem, and so is a merge of a mapping into itself; `above`: the mappings that this
    one is merged into.
    """
    found: dict[str, Entry] = {}
    merged: dict[str, Entry] = {}
    for key, value in node.value:
        if key.tag == _MERGE:
            for source in value.value if isinstance(value, SequenceNode) else [value]:
                if any(source is target for target in (node, *above)):
                    _once(Problem("<< merges a mapping into itself", where(key, shown)), problems)
                elif isinstance(source, MappingNode):
                    for entry in entries(source, shown, problems, (node, *above)):
                        merged.setdefault(entry.key, entry)
            continue
        name = str(key.value) if isinstance(key, ScalarNode) else repr(key.value)
        if name in found:
            what = f"{name} stands twice, first at {found[name].where}"
            _once(Problem(what, where(key, shown)), problems)
            continue
        found[name] = Entry(name, where(key, shown), value)
    return [*found.values(), *(entry for name, entry in merged.items() if name not in found)]


def _once(problem: Problem, problems: list[Problem]) -> None:
    # A mapping is read where it stands and wherever it is merged.
    if problem not in problems:
        problems.append(problem)


def setting(entry: Entry) -> Setting:
    """An entry as a variable."""
    return Setting(text_of(entry.node), entry.where, isinstance(entry.node, ScalarNode))
