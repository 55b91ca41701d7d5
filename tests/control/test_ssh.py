"""What only ssh can do wrong: keys, silence, lost links, logins, jump hosts, sudo."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pytest
from paramiko.common import MSG_CHANNEL_CLOSE, MSG_CHANNEL_DATA, MSG_CHANNEL_EOF

from loadproof.control import known_hosts
from loadproof.control.remote import ConnectionDropped, Finished, connect
from loadproof.control.retry import RetryingRemote
from loadproof.control.ssh import SshRemote
from loadproof.errors import BadInput, HostUnreachable, LinkLost, LoadproofError, StepFailed
from loadproof.plan.shell import quote
from loadproof.plan.values import Host
from tests.control.servers import Server, serving


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    shared.know()
    yield shared
    shared.know()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may stop or kill."""
    with serving(tmp_path / "own") as server:
        yield server


def new_key(folder: Path, name: str, kind: str = "ed25519") -> str:
    """The public key of a key made now."""
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return path.with_suffix(".pub").read_text().strip()


def failure(host: Host) -> LoadproofError:
    remote = SshRemote(host, silence_s=2)
    try:
        with pytest.raises(LoadproofError) as caught:
            remote.run("true", 5)
        return caught.value
    finally:
        remote.close()


def works(host: Host) -> Finished:
    remote = SshRemote(host)
    try:
        return remote.run("echo here", 5)
    finally:
        remote.close()


# --- host keys ---


def test_a_changed_host_key_names_both_fingerprints_file_and_line(server: Server, tmp_path: Path) -> None:
    other = new_key(tmp_path, "other")
    server.know(f"# one\n\n[127.0.0.1]:{server.port} {other}\n")
    error = failure(server.host())
    assert isinstance(error, HostUnreachable)
    for key in (other, (server.folder / "host_key.pub").read_text()):
        command = ["ssh-keygen", "-lf", "-"]
        listed = subprocess.run(command, input=key, text=True, capture_output=True, check=True).stdout
        assert listed.split()[1] in error.what
    assert f"{server.folder}/known_hosts:3" in error.what
    assert "CHANGED" in error.what
    assert error.next == "inv trust"


@pytest.mark.parametrize("strict", ["yes", "no", "accept-new"])
def test_an_unknown_host_key_is_refused_whatever_the_option_says(server: Server, strict: str) -> None:
    server.know("elsewhere ssh-ed25519 AAAA\n")
    error = failure(server.host(StrictHostKeyChecking=strict))
    assert "is not known" in error.what
    assert ("not honoured" in error.what) == (strict != "yes")


def test_hashed_names_patterns_and_aliases_are_known(server: Server) -> None:
    key = (server.folder / "host_key.pub").read_text().strip()
    server.know(f"[127.0.0.*]:{server.port},other {key}\n")
    assert works(server.host()).ok
    server.know(f"[127.0.0.1]:{server.port} {key}\n")
    hash_names = ["ssh-keygen", "-H", "-f", str(server.folder / "known_hosts")]
    subprocess.run(hash_names, check=True, capture_output=True)
    assert (server.folder / "known_hosts").read_text().startswith("|1|")
    assert works(server.host()).ok
    server.know(f"my-alias {key}\n")
    assert works(server.host(HostKeyAlias="my-alias")).ok
    assert "is not known" in failure(server.host(HostKeyAlias="another")).what


def test_a_key_known_without_the_port_is_good_as_for_openssh(server: Server, tmp_path: Path) -> None:
    key = (server.folder / "host_key.pub").read_text().strip()
    server.know(f"127.0.0.1 {key}\n")
    assert works(server.host()).ok


def test_revoked_and_authority_lines(server: Server) -> None:
    key = (server.folder / "host_key.pub").read_text().strip()
    line = f"[127.0.0.1]:{server.port} {key}\n"
    server.know(line + f"@revoked {line}")
    assert "revoked" in failure(server.host()).what
    server.know(f"@cert-authority {line}")
    assert "host CA" in failure(server.host()).what


def test_one_of_several_known_keys_is_enough(server: Server, tmp_path: Path) -> None:
    key = (server.folder / "host_key.pub").read_text().strip()
    others = [new_key(tmp_path, "a"), new_key(tmp_path, "b", "ecdsa"), new_key(tmp_path, "c", "rsa")]
    server.know("".join(f"[127.0.0.1]:{server.port} {line}\n" for line in [*others, key]))
    assert works(server.host()).ok


# --- reaching and logging in ---


def test_login_refused_names_user_and_keys(server: Server, tmp_path: Path) -> None:
    new_key(tmp_path, "stranger")
    host = server.host("nobody")
    error = failure(Host(**{**vars(host), "identity_file": str(tmp_path / "stranger")}))
    assert isinstance(error, HostUnreachable)
    assert "login of nobody was rejected" in error.what
    assert str(tmp_path / "stranger") in error.what


def test_nothing_listens() -> None:
    with pytest.raises(HostUnreachable, match="connection refused") as caught:
        SshRemote(Host("h1", ("app",), "127.0.0.1", ssh_port=1, ssh_common_args="-F none")).run("true", 5)
    assert isinstance(caught.value, ConnectionDropped)
    assert caught.value.where.startswith("host h1 (")


def test_no_such_name() -> None:
    with pytest.raises(HostUnreachable, match="no-such-host.invalid is not an address"):
        SshRemote(Host("h1", ("app",), "no-such-host.invalid", ssh_common_args="-F none")).run("true", 5)


def test_a_peer_that_accepts_and_says_nothing(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = Host(
            "h1", ("app",), "127.0.0.1", ssh_port=listener.getsockname()[1],
            ssh_common_args="-F none -o ConnectTimeout=1",
        )  # fmt: skip
        started = time.monotonic()
        with pytest.raises(HostUnreachable, match="no answer from .* within 1 s") as caught:
            SshRemote(host).run("true", 5)
        assert time.monotonic() - started < 5
        assert not isinstance(caught.value, ConnectionDropped)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("PKCS11Provider", "/usr/lib/x.so"),
        ("KnownHostsCommand", "/bin/true"),
        ("PubkeyAuthentication", "no"),
        ("PreferredAuthentications", "password"),
        ("Ciphers", "chacha20-poly1305@openssh.com"),
        ("IdentityAgent", "/tmp/agent.sock"),
        ("CertificateFile", "/tmp/key-cert.pub"),
        ("IdentityFile", "/tmp/%C"),
        ("IdentityFile", "/tmp/%q"),
        ("IdentityFile", "${NO_SUCH_NAME}/key"),
        ("ProxyCommand", "/bin/%k"),
        ("ProxyJump", "%d"),
    ],
)
def test_an_option_that_cannot_be_honoured_is_named(server: Server, option: str, value: str) -> None:
    error = failure(server.host(**{option: value}))
    assert isinstance(error, BadInput)
    assert f"ssh option {option.lower()}" in error.what and value in error.what
    assert "host h1" in error.what and "that option" in error.next


def test_an_option_that_ssh_rejects_is_shown(server: Server) -> None:
    error = failure(server.host(NoSuchOption="1"))
    assert "ssh does not accept" in error.what and error.where and error.kept
    assert error.next.startswith("ssh -G ") and "NoSuchOption=1" in error.next


def test_quotes_that_are_not_closed_are_shown(server: Server) -> None:
    error = failure(Host(**{**vars(server.host()), "ssh_common_args": "-o 'User=x"}))
    assert "ansible_ssh_common_args: No closing quotation" in error.what and "close the quotes" in error.next


RELAY = """
import os, socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while b := os.read(0, 65536):
        s.sendall(b)
    os._exit(0)
threading.Thread(target=up, daemon=True).start()
while b := s.recv(65536):
    os.write(1, b)
"""


def through(server: Server, command: str, *more: str) -> Host:
    """The host, behind a ProxyCommand."""
    host = server.host()
    args = quote("-o", f"ProxyCommand={command}", *more)
    return Host(**{**vars(host), "ssh_common_args": f"{host.ssh_common_args} {args}"})


def test_a_proxy_command_is_used(server: Server) -> None:
    program = server.folder / "relay.py"
    program.write_text(RELAY)
    assert works(through(server, f"python3 {program} %h %p")).stdout == "here\n"


def test_a_proxy_command_gets_the_name_that_ssh_would_be_given(server: Server, tmp_path: Path) -> None:
    program = tmp_path / "relay.py"
    program.write_text(f"import sys\nopen('{tmp_path}/said', 'w').write(sys.argv[3]){RELAY}")
    command = f"python3 {program} %h %p '%n %r 100%% $HOME ${{HOME}}'"
    host = through(server, command, "-o", "HostName=127.0.0.1")
    assert works(Host(**{**vars(host), "ssh_host": "Web_1"})).ok
    assert (tmp_path / "said").read_text() == "Web_1 root 100% $HOME ${HOME}"


def test_a_proxy_command_that_fails_is_named_with_its_last_words(server: Server) -> None:
    command = "sh -c 'seq 90 >&2; echo no way out >&2; exit 7'"
    error = failure(through(server, command))
    assert isinstance(error, ConnectionDropped) and error.where and error.kept
    assert f"through ProxyCommand {command}: exit 7\n87\n88\n89\n90\nno way out" in error.what


def test_a_proxy_command_that_is_silent_is_named(server: Server) -> None:
    error = failure(through(server, "sleep 30", "-o", "ConnectTimeout=1"))
    assert error.what.startswith("no answer from") and "through ProxyCommand sleep 30" in error.what


def test_the_command_to_try_by_hand_goes_the_same_way(server: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    error = failure(through(server, f"sh -c 'echo passed >> {log}'"))
    assert log.read_text() == "passed\n"
    subprocess.run(["sh", "-c", error.next], stdin=subprocess.DEVNULL, capture_output=True)
    assert log.read_text() == "passed\npassed\n"
    assert error.next.startswith(f"ssh -p {server.port} -l root -o ") and error.next.endswith(
        " 127.0.0.1 true"
    )


def test_include_and_host_alias_of_a_config_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "inner").write_text(
        f"Host web\n HostName 127.0.0.1\n Port {server.port}\n User root\n"
        f" IdentityFile {server.folder}/client_key\n UserKnownHostsFile {server.folder}/known_hosts\n"
    )
    (tmp_path / "config").write_text(f"Include {tmp_path}/inner\n")
    host = Host("w", ("app",), "web", ssh_common_args=f"-F {tmp_path}/config")
    assert works(host).stdout == "here\n"


def test_jump_hosts_are_opened_once_and_their_keys_checked(server: Server, own: Server) -> None:
    from loadproof.control.link import Jumps

    config = own.folder / "config"
    config.write_text(
        f"Host jump\n HostName 127.0.0.1\n Port {server.port}\n User root\n"
        f" IdentityFile {server.folder}/client_key\n UserKnownHostsFile {server.folder}/known_hosts\n"
    )
    args = f"-F {config} -o ProxyJump=jump -o UserKnownHostsFile={own.folder}/known_hosts"
    host = Host(**{**vars(own.host()), "ssh_common_args": args})
    jumps = Jumps()
    remotes = [SshRemote(host, jumps) for _ in range(5)]
    try:
        with ThreadPoolExecutor(5) as pool:
            said = list(
                pool.map(lambda remote: remote.run("echo $SSH_CONNECTION; echo ok", 10).stdout, remotes)
            )
        assert all(text.endswith("ok\n") for text in said)
        assert len(jumps._open) == 1
    finally:
        for remote in remotes:
            remote.close()
        jumps.close()
    server.know("nothing\n")
    error = failure(host)
    assert "jump host" in error.where
    assert "is not known" in error.what


def test_a_jump_host_is_tried_by_hand_through_those_before_it() -> None:
    from loadproof.control.sshconfig import hop

    last = hop("h1", ("one", "me@two:2222"), ("-F", "none"))
    assert last.jumps == ("one",) and last.alias == "h1 (jump host two)"
    assert last.by_hand == "ssh -F none -p 2222 -l me -J one two true"


# --- silence and loss ---


def test_a_silent_peer_is_noticed(own: Server) -> None:
    remote = SshRemote(own.host(), silence_s=2)
    assert remote.run("true", 5).ok
    own.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises((LinkLost, HostUnreachable)):
        remote.run("sleep 30", 60)
    assert time.monotonic() - started < 6
    remote.close()


def test_silence_in_the_middle_of_a_command_is_an_unknown_outcome(own: Server) -> None:
    remote = SshRemote(own.host(), silence_s=2)
    marker = own.folder / "runs"
    timer = threading.Thread(target=lambda: (wait_for(marker), own.process.send_signal(signal.SIGSTOP)))
    timer.start()
    started = time.monotonic()
    with pytest.raises(LinkLost, match="the outcome is unknown") as caught:
        remote.run(f"touch {marker}; sleep 30", 60)
    timer.join()
    assert time.monotonic() - started < 8
    assert "no answer for 2 s" in caught.value.what
    assert "exit" not in caught.value.what
    remote.close()


def test_silence_during_an_upload(own: Server, tmp_path: Path) -> None:
    remote = SshRemote(own.host(), silence_s=2)
    assert remote.run("true", 5).ok
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(400_000_000)
    timer = threading.Thread(
        target=lambda: (wait_for_glob(own.folder, "big.part.*"), own.process.send_signal(signal.SIGSTOP))
    )
    timer.start()
    with pytest.raises(LinkLost):
        remote.put(big, f"{own.folder}/big")
    timer.join()
    remote.close()
    assert not (own.folder / "big").exists()


def test_a_killed_server_is_a_lost_link_and_the_next_command_says_unreachable(own: Server) -> None:
    remote = SshRemote(own.host(), silence_s=2)
    marker = own.folder / "runs"
    timer = threading.Thread(target=lambda: (wait_for(marker), own.process.kill()))
    timer.start()
    with pytest.raises(LinkLost, match="unknown"):
        remote.run(f"touch {marker}; sleep 30", 60)
    timer.join()
    with pytest.raises(HostUnreachable):
        remote.run("true", 5)
    remote.close()


def test_an_idle_connection_that_went_away_is_opened_again(server: Server) -> None:
    remote = SshRemote(server.host())
    assert remote.run("true", 5).ok
    assert remote._connection is not None
    remote._connection.transport.close()
    assert remote.run("echo again", 5).stdout == "again\n"
    remote.close()


def test_a_connection_that_went_away_before_a_command_is_opened_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = SshRemote(server.host())
    assert remote.run("true", 5).ok
    assert remote._connection is not None
    transport = remote._connection.transport

    def dying(*asked: object, **options: object) -> paramiko.Channel:
        transport.close()
        return paramiko.Transport.open_session(transport)

    monkeypatch.setattr(transport, "open_session", dying)
    assert RetryingRemote(remote, wait_s=0.001).run("echo again", 5).stdout == "again\n"
    remote.close()


@pytest.mark.parametrize(("stdin", "kind"), [("", MSG_CHANNEL_EOF), ("unread", MSG_CHANNEL_DATA)])
def test_what_is_sent_while_the_host_closes_a_channel_goes_out_before_our_close(
    server: Server, monkeypatch: pytest.MonkeyPatch, stdin: str, kind: int
) -> None:
    remote = SshRemote(server.host())
    assert remote.run("true", 5).ok
    assert remote._connection is not None
    before, came, handled = remote._connection.transport, threading.Event(), threading.Event()
    read, send = before.packetizer.read_message, before._send_user_message

    def reading() -> tuple[int, paramiko.Message]:
        if came.is_set():  # paramiko reads on when it is done with a message
            handled.set()
        number, message = read()
        if number == MSG_CHANNEL_CLOSE:
            came.set()
        return number, message

    def sending(message: paramiko.Message) -> None:
        if message.asbytes()[0] == kind and threading.current_thread() is not before:
            assert handled.wait(10)
        send(message)

    monkeypatch.setattr(before.packetizer, "read_message", reading)
    monkeypatch.setattr(before, "_send_user_message", sending)
    assert remote.run("exit 3", 5, stdin).exited == 3
    assert handled.is_set()
    assert remote.run("echo still", 5).stdout == "still\n"
    assert remote._connection.transport is before
    remote.close()


def test_a_closed_remote_opens_nothing_any_more(server: Server) -> None:
    remote = SshRemote(server.host())
    assert remote.run("true", 5).ok
    remote.close()
    with pytest.raises(HostUnreachable, match="closed by us"):
        remote.run("true", 5)
    assert remote._connection is None


def test_close_does_not_wait_for_a_connection_that_is_being_opened(server: Server) -> None:
    remote = SshRemote(server.host())
    with remote._opening:  # a thread that waits for a silent host
        begun = time.monotonic()
        remote.close()
        assert time.monotonic() - begun < 1
    with pytest.raises(HostUnreachable, match="closed by us"):
        remote.run("true", 5)


def test_long_quiet_commands_are_no_silence(server: Server) -> None:
    remote = SshRemote(server.host(), silence_s=1)
    assert remote.run("sleep 3; echo done", 10).stdout == "done\n"
    remote.close()


# --- sudo ---


@pytest.mark.parametrize(
    ("sudo", "said"),
    [
        ("echo 'sudo: a password is required' >&2; exit 1", "sudo wants a password for user somebody"),
        ("echo 'somebody is not in the sudoers file.' >&2; exit 1", "sudo is not allowed for user somebody"),
        ("echo 'sh: 1: sudo: not found' >&2; exit 127", "sudo is missing for user somebody"),
        ("echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1", "sudo wants a terminal"),
    ],
)
def test_sudo_trouble_has_a_message_of_its_own(tmp_path: Path, sudo: str, said: str) -> None:
    with serving(tmp_path, sudo=f"#!/bin/sh\n{sudo}\n") as server:
        error = failure(server.host("somebody"))
    assert isinstance(error, StepFailed)
    assert said in error.what
    assert "nothing ran" in error.kept
    assert error.exit_code == 3


def test_a_command_that_fails_like_sudo_is_not_mistaken(server: Server) -> None:
    remote = SshRemote(server.host("somebody"))
    assert remote.run("echo nothing to see >&2; exit 1", 5).exited == 1
    remote.close()


# --- trying again ---


class Flaky:
    """Refuses the first calls."""

    def __init__(self, error: LoadproofError, times: int) -> None:
        self.host = Host("h1", ("app",), "h1")
        self.error, self.times, self.calls = error, times, 0

    def run(self, command: str, within: float, stdin: str = "") -> Finished:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return Finished("h1", command, 0, "", "", 0.0)

    def put(self, data: bytes | Path, path: str, mode: int = 0o644) -> None: ...
    def fetch(self, path: str, into: Path) -> None: ...
    def close(self) -> None: ...


def test_only_dropped_connections_are_tried_again() -> None:
    dropped = Flaky(ConnectionDropped("h1", "refused"), 2)
    assert RetryingRemote(dropped, wait_s=0.001).run("true", 1).ok
    assert dropped.calls == 3
    for error in (HostUnreachable("h1", "key"), LinkLost("h1", "lost"), StepFailed("h1", "x", 1, "")):
        flaky = Flaky(error, 1)
        with pytest.raises(type(error)):
            RetryingRemote(flaky, wait_s=0.001).run("true", 1)
        assert flaky.calls == 1
    forever = Flaky(ConnectionDropped("h1", "refused"), 100)
    with pytest.raises(ConnectionDropped):
        RetryingRemote(forever, wait_s=0.001).run("true", 1)
    assert forever.calls == 4


def test_connect_chooses_by_the_inventory(server: Server) -> None:
    assert isinstance(connect(server.host()), RetryingRemote)
    local = connect(Host("h1", ("app",), "h1", connection="local"))
    assert type(local).__name__ == "LocalRemote"


def test_no_secret_and_no_noise_on_stderr(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HostUnreachable):
        connect(Host("h1", ("app",), "127.0.0.1", ssh_port=1, ssh_common_args="-F none")).run("true", 5)
    assert capfd.readouterr() == ("", "")


def test_fingerprints_are_those_of_openssh(tmp_path: Path) -> None:
    line = new_key(tmp_path, "k", "ecdsa")
    entry = known_hosts.parse("f", 1, f"h {line}")
    assert entry is not None
    listed = subprocess.run(
        ["ssh-keygen", "-lf", str(tmp_path / "k.pub")], capture_output=True, text=True
    ).stdout
    assert known_hosts.fingerprint(entry.key) == listed.split()[1]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def wait_for_glob(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + 20
    while not [found for found in folder.glob(pattern) if os.path.getsize(found)]:
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)


def test_no_pipe_goes_with_a_channel(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives while a channel and its pipe are closed is written to a descriptor that is nobody's, or somebody else's
    by then: seldom, the whole connection ended when a fetch was given up in its middle."""

    def refuse() -> None:
        raise AssertionError("a pipe was made")

    monkeypatch.setattr("paramiko.pipe.make_pipe", refuse)
    assert works(server.host()).stdout == "here\n"


def test_what_comes_on_either_output_wakes_whoever_waits(server: Server) -> None:
    """Also while the other one is empty: the command is over long before the next look that is due."""
    remote = SshRemote(server.host())
    try:
        remote.run("true", 5)
        for command in ("sleep 0.3; echo x >&2", "sleep 0.3; echo x"):
            begun = time.monotonic()
            ran = remote.run(command, 5)
            assert ran.stdout + ran.stderr == "x\n" and 0.3 <= time.monotonic() - begun < 2
    finally:
        remote.close()
