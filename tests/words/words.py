"""What the tests of the words share: `./inv` as a subprocess, its messages in parts, hosts over plain ssh."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

REPO = Path(__file__).resolve().parents[2]
USER = "lptest"
APPS, HOSTS = ("app1", "app2"), ("app1", "app2", "proxy", "load1")
# Whoever started the tests in the background, or with nohup, made them ignore signals: what they start does not.
HEEDING = ("env", "--default-signal=INT,HUP,TERM")
PART = re.compile(r"^(error|where|kept|next): +")
# Others may be measuring on the same lab: their run is waited for, it is no fault of ours.
BUSY = re.compile(r"is in use by|is held by .* for run|a load runs here")
BUSY_S = 150.0


@dataclass(frozen=True)
class Message:
    """The four parts of an error as printed; a part that was not said is ""."""

    error: str = ""
    where: str = ""
    kept: str = ""
    next: str = ""


@dataclass(frozen=True)
class Said:
    """How one `./inv …` ended, and what it said."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def messages(self) -> list[Message]:
        """Every error of stderr, in order."""
        return messages(self.err)

    @property
    def message(self) -> Message:
        """The only error of stderr."""
        assert len(self.messages) == 1, self
        return self.messages[0]

    @property
    def recap(self) -> dict[str, tuple[str, str, str]]:
        """The recap of a deploy: status, count and reason by host."""
        rows = {}
        for line in self.out.splitlines():
            cells = re.split(r"\s{2,}", line.strip(), maxsplit=3)
            if len(cells) >= 3 and cells[1] in ("ok", "changed", "would change", "failed", "unreachable"):
                rows[cells[0]] = (cells[1], cells[2], cells[3] if len(cells) > 3 else "")
        return rows

    def __str__(self) -> str:
        shown = f"./inv {' '.join(self.words)} ended with {self.code} after {self.seconds:.1f} s"
        return f"{shown}\n{self.out}\n{self.err}"


def judged(said: Said) -> Said:
    """A word that ended with a verdict. Which one is the machine's affair; that its code and its first line agree is ours."""
    assert said.code in (0, 2) and said.out, said
    verdict = json.loads(said.out)["verdict"] if said.out.startswith("{") else said.out.split(maxsplit=1)[0]
    assert verdict.rstrip(":") in (("VALID",) if said.code == 0 else ("INVALID", "UNKNOWN")), said
    return said


def messages(text: str) -> list[Message]:
    """The errors of a text; a line that begins no part belongs to the part before it."""
    found: list[dict[str, str]] = []
    part = ""
    for line in text.splitlines():
        begins = PART.match(line)
        if begins and (begins[1] == "error" or part):
            part = begins[1]
            if part == "error":
                found.append({})
            found[-1][part] = line[begins.end() :]
        elif part and line.startswith(" "):
            found[-1][part] += "\n" + line.strip()
        else:
            part = ""
    return [Message(**parts) for parts in found]


@dataclass(frozen=True)
class Words:
    """`./inv` with results in a folder of the test's own, on one inventory unless another is named."""

    results: Path
    inventory: Path

    def inv(self, *words: str, inventory: Path | None = None, within_s: float = 120.0) -> Said:
        """Run `./inv WORDS -i INVENTORY`; waits while somebody else's run holds the hosts."""
        until = time.monotonic() + BUSY_S
        while True:
            said = self.once(words, inventory or self.inventory, within_s)
            if not BUSY.search(said.err + said.out) or time.monotonic() > until:
                return said
            time.sleep(1)

    def once(self, words: Iterable[str], inventory: Path, within_s: float) -> Said:
        """Run it once."""
        return self.bare(*words, "-i", str(inventory), within_s=within_s)

    def bare(self, *line: str, within_s: float = 120.0) -> Said:
        """Run `./inv WORDS` and nothing more."""
        environment = os.environ | {"LOADPROOF_RESULTS": str(self.results), "COLUMNS": "200"}
        begun = time.monotonic()
        done = subprocess.run(
            ["./inv", *line], cwd=REPO, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=within_s,
        )  # fmt: skip
        return Said(tuple(line), done.returncode, done.stdout, done.stderr, time.monotonic() - begun)


class Shell:
    """The lab's hosts over plain ssh, as root."""

    def __init__(self, inventory: Path, control: Path) -> None:
        data = YAML(typ="safe").load(inventory.read_text())["all"]
        common = data["vars"]
        self.addresses = {
            name: entry["ansible_host"]
            for group in data["children"].values()
            for name, entry in group["hosts"].items()
        }
        self.key = Path(common["ansible_ssh_private_key_file"])
        self.common_args: str = common["ansible_ssh_common_args"]
        # one connection per host: hundreds of small questions
        self.words = ["ssh", "-i", str(self.key), "-o", "BatchMode=yes", *shlex.split(self.common_args)]
        self.words += [
            "-o",
            "ControlMaster=auto",
            "-o",
            f"ControlPath={control}/%h",
            "-o",
            "ControlPersist=300",
        ]

    def run(self, host: str, command: str, stdin: bytes = b"", ok: bool = True) -> str:
        """A shell command; its output."""
        words = [*self.words, f"root@{self.addresses[host]}", command]
        done = subprocess.run(words, input=stdin, capture_output=True, timeout=120)
        assert done.returncode == 0 or not ok, f"{host}: {command}: {done.stdout!r} {done.stderr!r}"
        return done.stdout.decode()

    def put(self, host: str, path: str, data: bytes, mode: str = "644") -> None:
        """Write a file, folders included."""
        self.run(host, f"mkdir -p $(dirname {path}) && cat > {path} && chmod {mode} {path}", data)

    def send(self, host: str, folder: Path, path: str) -> None:
        """Copy the files of a folder into a folder of the host."""
        packed = subprocess.run(["tar", "-C", str(folder), "-c", "."], check=True, capture_output=True).stdout
        self.run(host, f"mkdir -p {path} && tar -x -C {path}", packed)

    def each(self, command: str, hosts: Iterable[str] = HOSTS) -> dict[str, str]:
        """The same on several hosts, side by side."""
        names = tuple(hosts)
        with ThreadPoolExecutor(len(names)) as pool:
            return dict(zip(names, pool.map(lambda name: self.run(name, command), names), strict=True))

    def state(self) -> dict[str, str]:
        """A digest of all that is ours on every host: files with mode, owner, size and time; units with their state."""
        return {host: hashlib.sha256(said.encode()).hexdigest() for host, said in self.each(STATE).items()}

    def active(self, host: str, unit: str) -> str:
        """What systemd says of a unit: active, inactive, failed."""
        return self.run(host, f"systemctl is-active {unit}", ok=False).strip()

    def close(self) -> None:
        """End the connections."""
        for address in self.addresses.values():
            subprocess.run([*self.words, "-O", "exit", f"root@{address}"], capture_output=True, timeout=20)


@contextmanager
def plain_ssh(inventory: Path) -> Iterator[Shell]:
    """A Shell on the hosts of an inventory; its connections end with the block."""
    with tempfile.TemporaryDirectory(prefix="lp-ssh-") as control:  # a socket's path must be short
        made = Shell(inventory, Path(control))
        try:
            yield made
        finally:
            made.close()


STATE = r"""
find /etc/loadproof /opt/loadproof /var/lib/loadproof/incoming /etc/systemd/system/loadproof-* \
    -printf '%p %y %m %u %s %T@\n' 2>/dev/null | sort
find /etc/loadproof -type f -exec sha256sum {} + 2>/dev/null | sort
systemctl show -p Id -p ActiveState -p MainPID -p UnitFileState 'loadproof-*'
getent passwd loadproof
"""


def variant_of(inventory: Path, path: Path, hosts: Mapping[str, Mapping[str, Any]], **common: str) -> Path:
    """A copy of an inventory with more or other variables for some hosts, or for all."""
    data = YAML(typ="safe").load(inventory.read_text())
    data["all"]["vars"] |= common
    for group in data["all"]["children"].values():
        for name in group["hosts"]:
            group["hosts"][name] |= hosts.get(name, {})
    path.write_text(json.dumps(data, indent=1))  # which is YAML too, and keeps the order
    return path


@contextmanager
def user(shell: Shell, host: str, rights: str) -> Iterator[str]:
    """A user whom the lab's key logs in; `rights` is a line for sudoers with {user} in it, "" for none."""
    public, home = shell.key.with_suffix(".pub").read_bytes(), f"/home/{USER}"
    try:
        shell.run(host, f"useradd -m -s /bin/sh {USER} && mkdir -m 700 {home}/.ssh")
        shell.run(host, f"cat > {home}/.ssh/authorized_keys && chown -R {USER}: {home}/.ssh", public)
        if rights:
            shell.put(host, f"/etc/sudoers.d/{USER}", f"{rights.format(user=USER)}\n".encode(), "440")
        yield USER
    finally:
        shell.run(
            host,
            f"rm -f /etc/sudoers.d/{USER}; loginctl terminate-user {USER}; userdel -f -r {USER}",
            ok=False,
        )


def until(condition: Callable[[], object], what: str, within_s: float = 10.0) -> None:
    """Wait for a named condition."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {within_s} s"
        time.sleep(0.05)


def refused(
    said: Said, code: int, *phrases: str, where: str, next: str, kept: str = "nothing was touched"
) -> Message:
    """Assert a refusal in four parts, all `phrases` in what happened; the message that names the cause."""
    assert said.code == code, said
    assert said.messages and "Traceback" not in said.err, said
    message = said.messages[0]
    for phrase in phrases:
        assert phrase in message.error, (phrase, str(said))
    assert where in message.where, (where, str(said))
    assert kept in message.kept, (kept, str(said))
    assert next in message.next, (next, str(said))
    return message
