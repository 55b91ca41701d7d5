"""What is refused: the exit code, the four parts of the message, and hosts that are as they were before."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.words.words import USER, Shell, Words, refused, until, user, variant_of

pytestmark = pytest.mark.lab

WEB = "lptest-web.service"
TABLE = "lptest"
SPARE_PORT = 2222
BENCH = ("bench", "--vusers", "9", "--interval", "100ms", "--settle", "0s", "--hold", "1s")


@contextmanager
def unchanged(words: Words, shell: Shell) -> Iterator[None]:
    """Every host is as it was before, folder by folder and unit by unit; no run folder was made."""
    before, runs = shell.state(), sorted(words.results.iterdir())
    yield
    assert shell.state() == before
    assert sorted(words.results.iterdir()) == runs


@pytest.fixture
def untouched(words: Words, shell: Shell) -> Iterator[None]:
    """The whole test leaves every host unchanged."""
    with unchanged(words, shell):
        yield


# --- words and files ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("untouched")
class TestInput:
    """Rejected with 64 before any host is asked."""

    @pytest.mark.parametrize("word", ["deploy", "bench"])
    def test_no_such_inventory(self, words: Words, tmp_path: Path, word: str) -> None:
        path = tmp_path / "none.yml"
        said = words.inv(word, inventory=path)
        refused(
            said,
            64,
            f"{path}: there is no such inventory",
            where="what was given",
            next="inventory/example.yml",
        )

    def test_a_group_is_empty(self, words: Words, lab_alone: Path, tmp_path: Path) -> None:
        path = tmp_path / "hosts.yml"
        path.write_text(lab_alone.read_text().partition("        load1:")[0])
        said = words.inv("deploy", inventory=path)
        refused(
            said,
            64,
            str(path),
            "group load has no hosts",
            where="what was given",
            next="inventory/example.yml",
        )

    def test_all_problems_of_an_inventory_with_file_and_line(
        self, words: Words, lab_alone: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "hosts.yml"
        wrong = {"ansible_host: 198.18": "ansible_hots: 198.18", "    load:": "    lode:"}
        text = lab_alone.read_text().replace('"root"', '"ro ot"')
        for right, other in wrong.items():
            text = text.replace(right, other, 1)
        path.write_text(text)
        lines = text.splitlines()
        numbers = {
            key: next(n for n, line in enumerate(lines, 1) if key in line) for key in ("hots", "ro ot")
        }
        said = words.inv("deploy", inventory=path)
        message = refused(
            said, 64, "there is no group load; did you mean lode?",
            f"{path}:{numbers['hots']}: there is no ansible_hots; did you mean ansible_host?",
            f"{path}:{numbers['ro ot']}: ansible_user",
            where="what was given", next="inventory/example.yml",
        )  # fmt: skip
        assert len(message.error.splitlines()) == 3, message

    @pytest.mark.parametrize("word", ["deploy", "bench"])
    def test_more_servers_than_there_are(self, words: Words, word: str) -> None:
        said = words.inv(word, "--servers", "7")
        phrases = ("--servers: 7 servers asked", "group app", "has 2 hosts (app1, app2)")
        refused(said, 64, *phrases, where="what was given", next="ask for fewer")

    def test_a_host_that_nobody_knows(self, words: Words) -> None:
        said = words.inv("deploy", "--hosts", "prox,load1")
        phrase = "--hosts: there is no host 'prox'; did you mean proxy?"
        refused(said, 64, phrase, where="what was given", next="app1,app2,proxy,load1")

    @pytest.mark.parametrize(
        ("flags", "problems"),
        [
            (("--vusers", "0"), ["--vusers: '0' is no whole number from 1"]),
            (("--step", "0"), ["--step: 0: a load with it never reaches its users"]),
            (("--initial", "1", "--step", "1", "--interval", "10s", "--duration", "1m"), ["--duration: 1m is too short: the ramp takes 16m20s"]),
            (("--interval", "0s"), ["--interval: 0 is no interval: a load with it never reaches its users"]),
            (
                ("--vusers", "0", "--step", "0", "--ramp", "slow", "--limiter", "cgroup", "--variant", "x", "--timeout", "0", "--hold", "soon"),
                ["--vusers: ", "--step: ", "--ramp: ", "--limiter: ", "--variant: ", "--timeout: ", "--hold: "],
            ),
        ],
        ids=["no users", "step of 0", "ramp longer than all", "interval of 0", "all at once"],
    )  # fmt: skip
    def test_a_load_that_cannot_be(self, words: Words, flags: tuple[str, ...], problems: list[str]) -> None:
        said = words.inv("bench", *flags)
        message = refused(said, 64, *problems, where="what was given", next="./inv --help bench")
        assert len(message.error.splitlines()) == len(problems), message


# --- connections -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("untouched")
class TestConnection:
    """No ssh session, or none that may do anything: 3, and never a host touched because another one could be."""

    def test_nothing_listens(self, words: Words, lab_alone: Path, tmp_path: Path) -> None:
        other = variant_of(lab_alone, tmp_path / "hosts.yml", {"app2": {"ansible_port": SPARE_PORT}})
        for word in (("deploy",), BENCH):
            said = words.inv(*word, inventory=other)
            refused(
                said, 3, f":{SPARE_PORT}: connection refused", where="host app2", next=f"ssh -p {SPARE_PORT}"
            )
            assert said.seconds < 30, said
            if word == ("deploy",):  # its platform is not known, and the others go on
                assert {name: row[0] for name, row in said.recap.items()} == {
                    "app1": "ok", "app2": "unreachable", "proxy": "ok", "load1": "ok",
                }, said  # fmt: skip

    def test_a_silent_host_is_given_up(
        self, words: Words, shell: Shell, lab_alone: Path, tmp_path: Path
    ) -> None:
        other = variant_of(lab_alone, tmp_path / "hosts.yml", {"app2": {"ansible_port": SPARE_PORT}})
        with dropped(shell, "app2", SPARE_PORT):
            said = words.inv("deploy", inventory=other)
        refused(said, 3, "no answer from", "within 10 s", where="host app2", next=f"ssh -p {SPARE_PORT}")
        assert said.seconds < 20, said

    def test_the_others_go_on_when_one_is_silent(
        self, words: Words, shell: Shell, lab_alone: Path, tmp_path: Path
    ) -> None:
        """With a platform declared nothing has to be asked first: the recap tells of each host."""
        asked = "import platform, sys; print('cp%d%d-%s-glibc%s' % (*sys.version_info[:2], platform.machine(), platform.libc_ver()[1]))"
        tag = shell.run("app2", f'/usr/bin/python3 -I -c "{asked}"').strip()
        changed = {"ansible_port": SPARE_PORT, "loadproof_platform": tag}
        other = variant_of(lab_alone, tmp_path / "hosts.yml", {"app2": changed})
        said = words.inv("deploy", inventory=other)
        message = refused(said, 3, "connection refused", where="host app2", next="ssh -p")
        assert said.message == message
        assert said.recap["app2"][0] == "unreachable", said
        assert {said.recap[name][0] for name in ("app1", "proxy", "load1")} == {"ok"}, said

    def test_host_key_unknown(self, words: Words, shell: Shell, lab_alone: Path, tmp_path: Path) -> None:
        known = tmp_path / "known_hosts"
        known.write_text("")
        other = variant_of(
            lab_alone, tmp_path / "hosts.yml", {"app1": {"ansible_ssh_common_args": trusting(shell, known)}}
        )
        print_ = fingerprint(shell, "app1")
        for word in (("deploy",), BENCH):
            said = words.inv(*word, inventory=other)
            phrases = (f"the host key of {shell.addresses['app1']} is not known", print_)
            refused(said, 3, *phrases, where="host app1", next=f"./inv trust -i {other}")
        assert known.read_text() == ""

    def test_host_key_changed(self, words: Words, shell: Shell, lab_alone: Path, tmp_path: Path) -> None:
        """Both fingerprints, file and line; and `trust` does not replace the old one by itself."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
        kind, key = (tmp_path / "key.pub").read_text().split()[:2]
        known = tmp_path / "known_hosts"
        text = f"# a comment\n{shell.addresses['app2']} {kind} {key}\n"
        known.write_text(text)
        listed = subprocess.run(
            ["ssh-keygen", "-lf", tmp_path / "key.pub"], check=True, capture_output=True, text=True
        )
        other = variant_of(
            lab_alone, tmp_path / "hosts.yml", {"app2": {"ansible_ssh_common_args": trusting(shell, known)}}
        )
        phrases = ("CHANGED", fingerprint(shell, "app2"), listed.stdout.split()[1], f"{known}:2")
        said = words.inv("deploy", inventory=other)
        refused(said, 3, *phrases, where="host app2", next=f"./inv trust -i {other}")
        said = words.inv("trust", "--yes", inventory=other)
        kept = "the lines that known_hosts has of it"
        refused(said, 3, *phrases, where="host app2", next="ssh-keygen -R", kept=kept)
        assert known.read_text() == text

    def test_login_rejected(self, words: Words, lab_alone: Path, tmp_path: Path) -> None:
        other = variant_of(lab_alone, tmp_path / "hosts.yml", {"load1": {"ansible_user": "nobody-here"}})
        said = words.inv("deploy", inventory=other)
        refused(said, 3, "the login of nobody-here was rejected", where="host load1", next="-l nobody-here")

    @pytest.mark.parametrize(
        "rights", ["", "{user} ALL=(ALL) ALL"], ids=["not in sudoers", "sudo wants a password"]
    )
    def test_sudo_refuses(
        self, words: Words, shell: Shell, lab_alone: Path, tmp_path: Path, rights: str
    ) -> None:
        other = variant_of(lab_alone, tmp_path / "hosts.yml", {"app2": {"ansible_user": USER}})
        with user(shell, "app2", rights):
            for word in (("deploy",), BENCH):
                said = words.inv(*word, inventory=other)
                refused(
                    said, 3, "sudo", f"user {USER}", where="host app2", kept="nothing", next="NOPASSWD: ALL"
                )


# --- hosts that cannot do their part -----------------------------------------------------------------


class TestHost:
    """A host that is in somebody else's use, or lacks what is needed: named, and none of the hosts is touched."""

    @pytest.mark.parametrize(
        ("host", "unit", "port"), [("proxy", "loadproof-proxy", 8080), ("app1", "loadproof-app", 8000)]
    )
    def test_a_port_is_taken(self, words: Words, shell: Shell, host: str, unit: str, port: int) -> None:
        with stopped(shell, words, host, unit), web(shell, host, port), unchanged(words, shell):
            pid = shell.run(host, f"systemctl show -p MainPID --value {WEB}").strip()
            taken = f"port {port} is taken by python3 (pid {pid}, unit {WEB})"
            said = words.inv("deploy")
            refused(said, 3, taken, where=f"host {host}", next="put it right on the host, then ./inv deploy")
            assert said.message and said.recap[host][:2] == ("failed", "nothing done"), said
            said = words.inv(*BENCH)
            refused(said, 3, taken, where=f"host {host}", next="put it right on the host")
            # seen before the module's fixtures put the host right again
            assert shell.active(host, unit) == "inactive" and shell.active(host, WEB) == "active"
            assert all(
                shell.active(name, "loadproof-app") == "active" for name in ("app1", "app2") if name != host
            )

    @pytest.mark.usefixtures("untouched")
    def test_python_is_too_old(self, words: Words, shell: Shell, lab_alone: Path, tmp_path: Path) -> None:
        path = "/opt/old-python/python3"
        other = variant_of(lab_alone, tmp_path / "hosts.yml", {"app2": {"loadproof_python": path}})
        try:
            shell.put("app2", path, OLD_PYTHON.encode(), "755")
            for word in (("deploy",), BENCH):
                said = words.inv(*word, inventory=other)
                phrases = (f"{path} on this host is Python 3.9", "3.11 or newer is needed")
                refused(said, 3, *phrases, where="host app2", next="loadproof_python")
        finally:
            shell.run("app2", "rm -rf /opt/old-python")
        said = words.inv("deploy", inventory=other)
        phrases = (f"there is no {path} on this host", "3.11 or newer is needed")
        refused(said, 3, *phrases, where="host app2", next="loadproof_python")

    def test_a_package_is_missing_and_cannot_be_installed(
        self, words: Words, shell: Shell, packages: Path
    ) -> None:
        """No route out of the lab: the package manager's last lines are shown, and the rest of the host stays."""
        others = {name: state for name, state in shell.state().items() if name != "app2"}
        with purged(shell, "app2", "cpulimit", packages):
            said = words.inv("deploy")
            phrases = ("package cpulimit", "E: Unable to locate package cpulimit")
            refused(said, 3, *phrases, where="host app2", kept="nothing was changed", next="--packages-from")
            assert said.recap["app2"][0] == "failed", said
            said = words.inv("deploy", "--packages-from", "/no/such/folder")
            refused(
                said,
                3,
                "/no/such/folder",
                "no such folder",
                where="host app2",
                kept="nothing",
                next="--packages-from",
            )
            assert {name: state for name, state in shell.state().items() if name != "app2"} == others
        assert words.inv("deploy").recap["app2"][:2] == ("ok", "0 changed")


# --- what is done to a host, and undone --------------------------------------------------------------

# Says that it is 3.9 to whoever asks, and lacks what came after: no Python that old can be installed in the lab.
OLD_PYTHON = """\
#!/bin/sh
exec /usr/bin/python3 -I -S -c '
import collections, hashlib, platform, sys
kind = collections.namedtuple("version_info", "major minor micro releaselevel serial")
sys.version_info = kind(3, 9, 2, "final", 0)
sys.version, sys.hexversion = "3.9.2 (default, Feb 28 2021, 17:03:44)", 0x030902F0
platform.python_version, platform.python_version_tuple = lambda: "3.9.2", lambda: ("3", "9", "2")
sys.modules["tomllib"] = None
del hashlib.file_digest
words = sys.argv[1:]
while words[0] in ("-I", "-S", "-c"):
    words.pop(0)
program, sys.argv = words[0], ["-c", *words[1:]]
exec(program)
' "$@"
"""


def trusting(shell: Shell, known: Path) -> str:
    """The lab's ssh options with another file of known hosts."""
    words = [
        w for w in shlex.split(shell.common_args) if w != "-o" and not w.startswith("UserKnownHostsFile")
    ]
    return " ".join(f"-o {word}" for word in [f"UserKnownHostsFile={known}", *words])


def fingerprint(shell: Shell, host: str) -> str:
    """The fingerprint of a host's own key, as the host says it."""
    return shell.run(host, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").split()[1]


@contextmanager
def dropped(shell: Shell, host: str, port: int) -> Iterator[None]:
    """Nothing that comes to a port of a host is answered."""
    rules = f"table inet {TABLE} {{ chain in {{ type filter hook input priority 0; tcp dport {port} drop; }}; }}\n"
    try:
        shell.run(host, "nft -f -", rules.encode())
        yield
    finally:
        shell.run(host, f"nft delete table inet {TABLE}", ok=False)


@contextmanager
def stopped(shell: Shell, words: Words, host: str, unit: str) -> Iterator[None]:
    """One of our units does not run; it runs again afterwards."""
    try:
        shell.run(host, f"systemctl stop {unit}")
        yield
    finally:
        said = words.inv("deploy")
        assert said.code == 0, said


@contextmanager
def web(shell: Shell, host: str, port: int) -> Iterator[None]:
    """Somebody's web server on a port."""
    run = f"systemd-run -q --collect --unit={WEB} /usr/bin/python3 -m http.server {port}"
    try:
        shell.run(host, run)
        until(lambda: f":{port} " in shell.run(host, "ss -Hltn"), f"{host} listens on {port}")
        yield
    finally:
        shell.run(host, f"systemctl stop {WEB}", ok=False)


@contextmanager
def purged(shell: Shell, host: str, package: str, packages: Path) -> Iterator[None]:
    """A host without one package; installed again from a folder afterwards."""
    shell.run(host, f"DEBIAN_FRONTEND=noninteractive apt-get purge -y -q {package}")
    try:
        yield
    finally:
        shell.send(host, packages, "/run/lptest-packages")
        shell.run(host, f"dpkg -i /run/lptest-packages/{package}_*.deb && rm -r /run/lptest-packages")
