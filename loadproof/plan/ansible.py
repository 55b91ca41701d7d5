"""Ansible's inventories as Ansible reads them: groups, ranges and variables, each variable with its place.

Read here: YAML files (`all: {vars, hosts, children}`, groups at the top, nested groups, ranges like app[01:03]) with
the `group_vars/` and `host_vars/` that lie beside them, and the text of `ansible-inventory --list`, which another room
runs for INI files, folders and plugins. Nothing is evaluated: a `{{ … }}` stays text.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadproof.errors import Problem
from loadproof.plan import marked
from loadproof.plan.allowed import nearest
from loadproof.plan.marked import Entry, Setting
from loadproof.plan.ranges import expand, split
from loadproof.plan.values import ROLES

SECTIONS = ("vars", "hosts", "children")
_SUFFIXES = ("", ".yml", ".yaml", ".json")  # of files of variables, in Ansible's order

Variables = dict[str, Setting]


@dataclass(frozen=True)
class Declared:
    """An inventory as declared: members of each group (children's too), merged variables and place of each host."""

    groups: Mapping[str, tuple[str, ...]]
    variables: Mapping[str, Mapping[str, Setting]]
    places: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass
class _Group:
    name: str
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    variables: Variables = field(default_factory=dict)


@dataclass
class _Reading:
    """What a YAML file has said so far."""

    file: str
    problems: list[Problem]
    groups: dict[str, _Group] = field(default_factory=lambda: {"all": _Group("all")})
    hosts: dict[str, Variables] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def read_yaml(path: Path, problems: list[Problem], needed: Collection[str] = ROLES) -> Declared:
    """What a YAML inventory declares, the folders group_vars and host_vars beside it included.

    What stands at its top and is no mapping is passed over and noted, as Ansible does, unless it is the name of a group
    of `needed` or one that other groups speak of.
    """
    reading = _Reading(str(path), problems)
    notes: list[str] = []
    root = marked.compose(path, reading.file, problems)
    if marked.is_mapping(root):
        tops = marked.entries(root, reading.file, problems)
        # Last, when all groups that are spoken of are known.
        for entry in sorted(tops, key=_is_no_group):
            if _is_no_group(entry) and entry.key not in (*needed, *reading.groups):
                notes.append(f"{entry.where}: {entry.key} is no group and was passed over")
            else:
                _read_group(entry, reading, ())
    elif not marked.is_null(root):
        problems.append(Problem("an inventory is a mapping of groups", marked.where(root, reading.file)))
    beside = _Beside(path.parent, problems, notes)
    return _declared(reading, beside, notes)


def _is_no_group(entry: Entry) -> bool:
    return not (marked.is_mapping(entry.node) or marked.is_null(entry.node))


def _read_group(entry: Entry, reading: _Reading, above: tuple[str, ...]) -> None:
    if entry.key in above:
        reading.problems.append(Problem(f"group {entry.key} contains itself", entry.where))
        return
    group = reading.groups.setdefault(entry.key, _Group(entry.key))
    if marked.is_null(entry.node):
        return
    if _is_no_group(entry):
        reading.problems.append(
            Problem(f"group {entry.key} is no mapping of vars, hosts, children", entry.where)
        )
        return
    for section in marked.entries(entry.node, reading.file, reading.problems):
        if section.key == "vars":
            group.variables |= {item.key: marked.setting(item) for item in _within(section, reading)}
        elif section.key == "hosts":
            for item in _within(section, reading):
                _read_host(item, group, reading)
        elif section.key == "children":
            for item in _within(section, reading):
                _read_group(item, reading, (*above, entry.key))
                if item.key not in (*above, entry.key):
                    group.children[item.key] = None
        elif near := nearest(section.key, SECTIONS):
            what = f"group {entry.key} has vars, hosts and children, not {section.key}; did you mean {near}?"
            reading.problems.append(Problem(what, section.where))


def _within(section: Entry, reading: _Reading) -> list[Entry]:
    """The entries of a section; a single name stands for a mapping with that one key, as in Ansible."""
    if marked.is_mapping(section.node):
        return marked.entries(section.node, reading.file, reading.problems)
    name = marked.text_of(section.node)
    if name is not None and section.key != "vars":
        return [Entry(name, section.where, None)]
    if not marked.is_null(section.node):
        what = f"{section.key} is a mapping (name: …), not a list or a text"
        reading.problems.append(Problem(what, section.where))
    return []


def _read_host(entry: Entry, group: _Group, reading: _Reading) -> None:
    pattern, port = split(entry.key)
    try:
        names = expand(pattern)
    except ValueError as error:
        reading.problems.append(Problem(str(error), entry.where))
        return
    variables: Variables = {} if port is None else {"ansible_port": Setting(port, entry.where)}
    if marked.is_mapping(entry.node):
        variables |= {
            e.key: marked.setting(e) for e in marked.entries(entry.node, reading.file, reading.problems)
        }
    elif not marked.is_null(entry.node):
        reading.problems.append(Problem(f"the variables of host {entry.key} are no mapping", entry.where))
    for name in names:
        if name in group.hosts:
            what = f"host {name} stands twice in group {group.name} (a range covers it)"
            reading.problems.append(Problem(what, entry.where))
        group.hosts[name] = None
        reading.hosts.setdefault(name, {}).update(variables)
        reading.places.setdefault(name, entry.where)


@dataclass
class _Beside:
    """group_vars/ and host_vars/ beside an inventory file."""

    folder: Path
    problems: list[Problem]
    notes: list[str]

    def variables(self, kind: str, name: str) -> Variables:
        """The variables of <kind>/<name>, else <name>.yml, .yaml, .json; of all files where that is a folder."""
        found: Variables = {}
        for path in self._files(self.folder / kind, name):
            if path.read_bytes()[:14] == b"$ANSIBLE_VAULT":
                self.notes.append(f"{path} is encrypted and was not read")
                continue
            root = marked.compose(path, str(path), self.problems)
            if marked.is_mapping(root):
                found |= {e.key: marked.setting(e) for e in marked.entries(root, str(path), self.problems)}
            elif not marked.is_null(root):
                self.problems.append(Problem("variables are a mapping (name: value)", str(path)))
        return found

    def _files(self, folder: Path, name: str) -> Iterator[Path]:
        # A host may be called anything until it is judged; it must not lead out of the folder.
        if "/" in name or name.startswith(".") or "\0" in name or len(name) > 200:
            return
        # Ansible stops at the first that exists: a folder hides a file of its name with an ending.
        paths = (folder / f"{name}{suffix}" for suffix in _SUFFIXES)
        found = next((path for path in paths if path.exists()), None)
        if found is not None:
            yield from _inside(found) if found.is_dir() else [found]


def _inside(folder: Path) -> Iterator[Path]:
    """The files of a folder of variables, deeper ones in their place; what Ansible passes over is left out."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        if path.is_dir() and not path.suffix:
            yield from _inside(path)
        elif path.is_file() and path.suffix in _SUFFIXES:
            yield path


def _depths(groups: Mapping[str, _Group]) -> dict[str, int]:
    """How deep each group lies below `all`, by the longest way."""
    depths = dict.fromkeys(groups, 1) | {"all": 0}
    for _ in groups:
        for group in groups.values():
            for child in group.children:
                depths[child] = max(depths[child], depths[group.name] + 1)
    return depths


def _looped(groups: Mapping[str, _Group]) -> str | None:
    """A group that contains itself by way of others, or None."""
    for start in groups:
        seen, todo = set[str](), list(groups[start].children)
        while todo:
            name = todo.pop()
            if name == start:
                return start
            if name not in seen:
                seen.add(name)
                todo += groups[name].children
    return None


def _members(groups: Mapping[str, _Group], name: str) -> tuple[str, ...]:
    """Hosts of a group, its own first, then its children's, then those of their children, as `--list-hosts` has them.

    Ansible has no fixed order among the groups of one depth below the children; here it is the one written.
    """
    found: dict[str, None] = {}
    seen, level = {name}, [name]
    while level:
        found |= {host: None for group in level for host in groups[group].hosts}
        below = dict.fromkeys(child for group in level for child in groups[group].children)
        level = [group for group in below if group not in seen]
        seen.update(level)
    return tuple(found)


def _priority(setting: Setting | None) -> int:
    try:
        return int(setting.text or "") if setting else 1
    except ValueError:
        return 1


def _declared(reading: _Reading, beside: _Beside, notes: list[str]) -> Declared:
    """Groups flattened and variables merged by Ansible's precedence: all, groups from the outside in, then their
    group_vars/ in the same order, the host's own, host_vars/."""
    groups = reading.groups
    if loop := _looped(groups):
        reading.problems.append(Problem(f"group {loop} contains itself", reading.file))
        return Declared({}, {}, {})
    depths = _depths(groups)
    members = {name: _members(groups, name) for name in groups}
    members["all"] = tuple(reading.hosts)
    extra = {name: beside.variables("group_vars", name) for name in groups}
    # Only the inventory itself may set the priority, and Ansible does not hand it on as a variable.
    priorities = {
        name: _priority(groups[name].variables.pop("ansible_group_priority", None)) for name in groups
    }
    order = sorted(groups, key=lambda n: (depths[n], priorities[n], n))
    variables: dict[str, Variables] = {}
    for host, own in reading.hosts.items():
        mine = [name for name in order if host in members[name]]
        merged: Variables = {}
        for layer in (*(groups[n].variables for n in mine), *(extra[n] for n in mine), own):
            merged |= layer
        variables[host] = merged | beside.variables("host_vars", host)
    return Declared(members, variables, reading.places, tuple(notes))


def read_listing(text: str, source: str, problems: list[Problem]) -> Declared:
    """What `ansible-inventory --list` printed (JSON with `_meta.hostvars`); the place of everything is `source`."""
    try:
        listing = json.loads(text)
        hostvars = listing.get("_meta", {}).get("hostvars", {})
        groups = {
            name: _Group(
                name, dict.fromkeys(found.get("hosts", [])), dict.fromkeys(found.get("children", []))
            )
            for name, found in listing.items()
            if name != "_meta"
        }
    except (ValueError, AttributeError, TypeError):
        problems.append(Problem("this is not the output of ansible-inventory --list", source))
        return Declared({}, {}, {})
    for name in [child for group in groups.values() for child in group.children]:
        groups.setdefault(name, _Group(name))
    if _looped(groups):
        problems.append(Problem("a group of this listing contains itself", source))
        return Declared({}, {}, {})
    members = {name: _members(groups, name) for name in groups}
    hosts = dict.fromkeys(host for group in members.values() for host in group) | dict.fromkeys(hostvars)
    variables = {
        host: {name: _listed(value, source) for name, value in hostvars.get(host, {}).items()}
        for host in hosts
    }
    return Declared(members, variables, dict.fromkeys(hosts, source))


def _listed(value: Any, source: str) -> Setting:
    if isinstance(value, bool):
        return Setting(str(value).lower(), source)
    if value is None or isinstance(value, str | int | float):
        return Setting(None if value is None else str(value), source)
    return Setting(None, source, scalar=False)
