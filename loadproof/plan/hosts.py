"""Hosts from an inventory: groups app, proxy, load and watch, where to log in and where traffic goes.

`read` takes Ansible's YAML (with group_vars/ and host_vars/ beside it), `from_listing` the output of
`ansible-inventory --list`; both judge the same way, and give all problems at once with file and line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loadproof.errors import BadInput, Problem
from loadproof.plan import allowed, ansible, known, marked
from loadproof.plan.ansible import Declared
from loadproof.plan.marked import Setting
from loadproof.plan.values import DEFAULT_PORTS, MASTER_PORT, ROLES, STATUS_PORT, Host, Inventory, Role

PYTHON = "/usr/bin/python3"
SSH_PORT = 22  # where nothing is said
NEEDED: tuple[Role, ...] = ("app", "proxy", "load")
_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh")
_NEXT = "compare it with inventory/example.yml"


def is_yaml(path: Path) -> bool:
    """Whether `read` can read it; INI files, folders and plugin sources are for `ansible-inventory --list`."""
    if not path.is_file():
        return False
    root = marked.compose(path, str(path), [])
    if marked.is_mapping(root):
        return all(entry.key != "plugin" for entry in marked.entries(root, str(path), []))
    # A broken YAML file is still one, and its line is worth more than what Ansible would say.
    return path.suffix in (".yml", ".yaml", ".json")


def read(path: Path, groups: Mapping[str, str] | None = None) -> Inventory:
    """The hosts of a YAML inventory. `groups` maps ours to theirs: {"app": "web"}. Raises BadInput with all problems."""
    if not path.exists():
        raise BadInput(
            [Problem("there is no such inventory", str(path))],
            next="copy inventory/example.yml to inventory/hosts.yml, or run ./inv lab.up for local hosts",
        )
    problems: list[Problem] = []
    if not path.is_file() or not os.access(path, os.R_OK):
        raise BadInput([Problem("this inventory is no readable file", str(path))], next=_NEXT)
    groups = groups or {}
    declared = ansible.read_yaml(path, problems, [groups.get(role, role) for role in ROLES])
    return _inventory(declared, str(path), groups, problems)


def from_listing(json_text: str, path: Path, groups: Mapping[str, str] | None = None) -> Inventory:
    """The hosts of what `ansible-inventory -i PATH --list` printed. Raises BadInput with all problems."""
    problems: list[Problem] = []
    declared = ansible.read_listing(json_text, str(path), problems)
    return _inventory(declared, str(path), groups or {}, problems)


def _inventory(
    declared: Declared, path: str, groups: Mapping[str, str], problems: list[Problem]
) -> Inventory:
    # What could not be read must not make further complaints about what is missing.
    if problems and not declared.places:
        raise BadInput(problems, next=_NEXT)
    members = _roles(declared, path, groups, problems)
    order = sorted(members, key=lambda role: list(declared.groups).index(groups.get(role, role)))
    names = dict.fromkeys(name for role in order for name in members[role])
    judges = [
        _Judge(declared, name, tuple(r for r in ROLES if name in members.get(r, ())), problems)
        for name in names
    ]
    hosts = tuple(judge.host() for judge in judges)
    notes = (*declared.notes, *(note for judge in judges for note in judge.notes))
    _between(hosts, declared, problems)
    if problems:
        raise BadInput(problems, next=_NEXT)
    return Inventory(path, hosts, notes)


def _roles(
    declared: Declared, path: str, groups: Mapping[str, str], problems: list[Problem]
) -> dict[Role, tuple[str, ...]]:
    """Host names by role, roles without a group left out."""
    for ours in groups:
        if ours not in ROLES:
            hint = allowed.did_you_mean(ours, ROLES)
            problems.append(
                Problem(f"there is no group {ours!r} of ours: {', '.join(ROLES)}{hint}", "--group")
            )
    found: dict[Role, tuple[str, ...]] = {}
    for role in ROLES:
        name = groups.get(role, role)
        others = [group for group in declared.groups if group not in ("all", "ungrouped")]
        if declared.groups.get(name):
            found[role] = declared.groups[name]
        elif name in declared.groups and (role in NEEDED or role in groups):
            problems.append(Problem(f"group {name} has no hosts", path))
        elif role in groups:
            hint = allowed.did_you_mean(name, others)
            problems.append(Problem(f"there is no group {name!r}{hint}", "--group"))
        elif role in NEEDED:
            near = allowed.nearest(name, others, 0.75)
            hint = f"; did you mean {near}?" if near else f"; map one of yours: --group {role}=NAME"
            problems.append(Problem(f"there is no group {name}{hint}", path))
    if len(found.get("proxy", ())) > 1:
        names = ", ".join(found["proxy"])
        problems.append(
            Problem(f"group {groups.get('proxy', 'proxy')} has more than one host: {names}", path)
        )
    return found


@dataclass
class _Judge:
    """Makes one Host of its variables; what is wrong goes into `problems`."""

    declared: Declared
    name: str
    roles: tuple[Role, ...]
    problems: list[Problem]
    notes: list[str] = field(default_factory=list)

    def host(self) -> Host:
        """The Host; where a value was rejected its default stands in, since the problem ends it anyway."""
        self._names()
        sentence = allowed.host_name(self.name)
        if sentence:
            self._problem(sentence, self.declared.places[self.name])
        ssh_host = self._value("ansible_host", allowed.ssh_host) or self.name
        port = self._value("ansible_port", allowed.port)
        key = self._value("ansible_ssh_private_key_file", allowed.local_path)
        args = (
            self._value("ansible_ssh_common_args", allowed.words),
            self._value("ansible_ssh_extra_args", allowed.words),
        )
        return Host(
            name=self.name,
            roles=self.roles,
            ssh_host=ssh_host,
            ssh_port=int(port) if port else None,
            ssh_user=self._value("ansible_user", allowed.user),
            identity_file=os.path.abspath(os.path.expanduser(key)) if key else None,
            ssh_common_args=" ".join(part for part in args if part),
            connection="local" if self._connection() == "local" else "ssh",
            address=self._address(ssh_host),
            ports=self._ports(),
            python=self._python(),
            platform=self._value("loadproof_platform", allowed.platform),
        )

    def _problem(self, sentence: str, where: str) -> None:
        # One group variable serves many hosts: said once.
        problem = Problem(sentence, where)
        if problem not in self.problems:
            self.problems.append(problem)

    def _names(self) -> None:
        for name, setting in self.declared.variables[self.name].items():
            if sentence := known.misspelt(name):
                self._problem(sentence, setting.where)
            elif name in known.SAID:
                self.notes.append(f"{self.name}: {name} is not used: {known.SAID[name]}")

    def _setting(self, key: str) -> tuple[str, Setting] | None:
        """The variable of that key, or of its last alias, that is set at all."""
        variables = self.declared.variables[self.name]
        for alias in reversed(known.ALIASES.get(key, (key,))):
            setting = variables.get(alias)
            if setting is not None and (setting.text is not None or not setting.scalar):
                return alias, setting
        return None

    def _value(self, key: str, judge: Callable[[str], str | None]) -> str | None:
        """The text of a variable, once its allow-list has passed it."""
        found = self._setting(key)
        if found is None:
            return None
        name, setting = found
        text = setting.text
        if text is None:
            self._problem(f"{name} must be a plain value", setting.where)
        elif "{{" in text or "{%" in text:
            what = (
                f"{name} is an expression ({allowed.shown(text)}), which we do not evaluate: write the value"
            )
            self._problem(what, setting.where)
        elif sentence := judge(text):
            self._problem(f"{name}: {sentence}", setting.where)
        else:
            return text
        return None

    def _connection(self) -> str:
        def judge(text: str) -> str | None:
            name = text.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")
            return None if name in (*_SSH, "local") else f"{allowed.shown(text)} is neither ssh nor local"

        return (self._value("ansible_connection", judge) or "ssh").rpartition(".")[2]

    def _address(self, ssh_host: str) -> str:
        if self._setting("loadproof_address"):
            return self._value("loadproof_address", allowed.address) or ssh_host
        sentence = allowed.address(ssh_host)
        if sentence and not allowed.ssh_host(ssh_host):
            found = self._setting("ansible_host")
            where = found[1].where if found else self.declared.places[self.name]
            self._problem(
                f"traffic would go to the ssh address, but {sentence}; set loadproof_address", where
            )
        return ssh_host

    def _ports(self) -> tuple[tuple[Role, int], ...]:
        serving = [role for role in self.roles if role in DEFAULT_PORTS]
        text = self._value("loadproof_port", allowed.port)
        if text is None:
            return tuple((role, DEFAULT_PORTS[role]) for role in serving)
        where = self.declared.variables[self.name]["loadproof_port"].where
        if len(serving) > 1:
            what = (
                f"loadproof_port of {self.name} is ambiguous: it is in app and in proxy; leave 8000 and 8080"
            )
            self._problem(f"{what}, or use two hosts", where)
        if int(text) in (STATUS_PORT, MASTER_PORT):
            self._problem(
                f"loadproof_port: {text} is taken by us (8079 nginx's status, 5557 Locust's master)", where
            )
        return tuple((role, int(text)) for role in serving)

    def _python(self) -> str:
        if self._setting("loadproof_python"):
            return self._value("loadproof_python", allowed.program) or PYTHON
        found = self._setting("ansible_python_interpreter")
        text = found[1].text if found else None
        if text is None:
            return self._value("ansible_python_interpreter", allowed.program) or PYTHON
        if allowed.program(text) is None:
            return text
        if not text.startswith("auto"):
            what = f"ansible_python_interpreter {allowed.shown(text)} is no absolute path"
            self.notes.append(f"{self.name}: {what}: {PYTHON} is used; loadproof_python names another")
        return PYTHON


def _between(hosts: tuple[Host, ...], declared: Declared, problems: list[Problem]) -> None:
    """What is wrong between hosts: one machine under two names, one address served twice, loopback addresses."""
    machines: dict[tuple[object, ...], Host] = {}
    served: dict[tuple[str, int], tuple[Host, Role]] = {}
    loads = sum("load" in host.roles for host in hosts)
    for host in hosts:
        where = declared.places[host.name]
        ssh = (host.ssh_host, host.ssh_port or SSH_PORT, host.ssh_common_args)
        machine = ("local",) if host.connection == "local" else ssh
        if machine in machines:
            other = machines[machine].name
            what = f"{host.name} and {other} are one machine: use one name, in two groups"
            problems.append(Problem(what, where))
        machines.setdefault(machine, host)
        for role, port in host.ports:
            other_host, other_role = served.setdefault((host.address, port), (host, role))
            if (other_host, other_role) != (host, role) and other_host is not host:
                what = f"{host.name} ({role}) and {other_host.name} ({other_role}) both serve {host.address}:{port}"
                problems.append(Problem(f"{what}: set loadproof_address or loadproof_port", where))
        if "load" in host.roles and loads > 1 and not allowed.is_ipv4(host.address):
            what = f"{host.name}: with several load hosts each needs an IPv4 address, not {host.address}"
            problems.append(Problem(f"{what}: set loadproof_address", where))
        # the others' Locust workers connect to the first load host: a loopback address is no place to meet
        met = bool(host.ports) or ("load" in host.roles and loads > 1 and allowed.is_ipv4(host.address))
        if met and len(hosts) > 1 and (host.address == "localhost" or host.address.startswith("127.")):
            what = f"traffic to {host.name} would go to {host.address}, which is another machine on each host"
            problems.append(Problem(f"{what}: set loadproof_address", where))
