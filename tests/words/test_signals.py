"""Signals outside a trial end a word in four parts; what is asked on a terminal is answered by its end, too."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.control.servers import Server, serving
from tests.words.words import HEEDING, REPO, messages

NAMES = ("app1", "proxy1", "load1")
ROLES = ("app", "proxy", "load")


def inventory(path: Path, ports: dict[str, int], **variables: str) -> Path:
    """An inventory of hosts that are all at 127.0.0.1, each on a port of its own."""
    groups = {
        role: {"hosts": {name: {"ansible_port": ports[name], "loadproof_address": f"192.0.2.{number}"}}}
        for number, (role, name) in enumerate(zip(ROLES, NAMES, strict=True), 1)
    }
    common = {"ansible_host": "127.0.0.1", "ansible_user": "root", **variables}
    path.write_text(json.dumps({"all": {"vars": common, "children": groups}}))
    return path


@pytest.fixture
def silent() -> Iterator[dict[str, int]]:
    """Ports by host name where connections are taken and nothing is ever said."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in NAMES]
        yield {name: one.getsockname()[1] for name, one in zip(NAMES, sockets, strict=True)}


@contextmanager
def running(*words: str, ignoring_hup: bool = False) -> Iterator[subprocess.Popen[str]]:
    """`./inv WORDS`, once it has named its inventory."""
    line = [*HEEDING, *(["nohup"] if ignoring_hup else []), "./inv", *words]
    with subprocess.Popen(
        line, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            while "inventory:" not in (first := process.stderr.readline()):
                assert first or process.poll() is None
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("word", ["deploy", "status"])
@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")]
)
def test_a_signal_ends_a_word_in_four_parts(
    tmp_path: Path, silent: dict[str, int], word: str, number: signal.Signals, said: str
) -> None:
    path = inventory(tmp_path / "hosts.yml", silent)
    with running(word, "-i", str(path)) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    (message,) = messages(err)
    assert process.returncode == 4 and "Traceback" not in err, err
    assert message.error.startswith(said) and message.where == f"inv {word}", err
    assert message.kept and message.next


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path, silent: dict[str, int]) -> None:
    path = inventory(tmp_path / "hosts.yml", silent, ansible_ssh_common_args="-o ConnectTimeout=60")
    with running("status", "-i", str(path)) as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith("next:"):
            assert line
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 4 and time.monotonic() - begun < 3


TALKING = """
import sys
import termios
from loadproof.control.signals import ending
try:
    with ending("status"):
        print("begun", flush=True)
        sys.stdin.read()
except Exception as error:
    while True:  # a reader that does not read holds us up in a write
        print(error.what, file=sys.stderr, flush=True)
"""


def waiting(pipe: int) -> int:
    """Bytes in a pipe that nobody has read."""
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0])


def test_a_second_ctrl_c_in_the_middle_of_a_line_leaves_at_once() -> None:
    words = [sys.executable, "-c", TALKING]
    with subprocess.Popen(
        words, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        end = time.monotonic() + 10
        before = -1
        while (
            held := waiting(process.stderr.fileno())
        ) == 0 or held != before:  # grows no more: a write waits
            assert time.monotonic() < end, "no write waits"
            before = held
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 4


def test_what_the_caller_ignores_stays_ignored(tmp_path: Path, silent: dict[str, int]) -> None:
    path = inventory(tmp_path / "hosts.yml", silent, ansible_ssh_common_args="-o ConnectTimeout=2")
    with running("status", "-i", str(path), ignoring_hup=True) as process:
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 3 and "SIGHUP" not in err, err


BUILD = """
import sys
import termios
from lab.image import ISOLATED
from lab.root import run
from loadproof.control.signals import ending
from loadproof.errors import Interrupted
try:
    with ending("lab.up"):
        print("begun", flush=True)
        run([*ISOLATED, "sh", "-c", "sleep 987.5; :"], root=True, tethered=True)
except Interrupted as error:
    print(error.what)
"""


def sleeping() -> bool:
    """Whether the stand-in for a long step of an image's build still runs."""
    found = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return any(words == b"sleep\x00987.5\x00" for words in found)


@pytest.mark.skipif(os.geteuid() != 0, reason="an image is built as root")
def test_a_sigterm_during_the_build_of_an_image_leaves_no_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BUILD], cwd=REPO, stdout=subprocess.PIPE, text=True
    ) as build:
        end = time.monotonic() + 10
        while not sleeping():
            assert time.monotonic() < end, "the build has not begun"
            time.sleep(0.02)
        build.send_signal(signal.SIGTERM)
        out, _ = build.communicate(timeout=10)
    assert "SIGTERM" in out and not sleeping()


# --- trust ---


def trusting(path: Path, typed: bytes) -> subprocess.CompletedProcess[str]:
    """`./inv trust` on a terminal where `typed` comes in."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed)
        words = ["./inv", "trust", "-i", str(path)]
        return subprocess.run(words, cwd=REPO, stdin=theirs, capture_output=True, text=True, timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def untrusted(server: Server, tmp_path: Path) -> tuple[Path, Path]:
    """An inventory whose load host does not answer, and the file where the others' keys would go."""
    known = tmp_path / "known_hosts"
    with socket.create_server(("127.0.0.1", 0)) as gone:
        free = gone.getsockname()[1]
    ports = {"app1": server.port, "proxy1": server.port, "load1": free}
    args = f"-F none -o UserKnownHostsFile={known} -o GlobalKnownHostsFile=/dev/null"
    path = inventory(tmp_path / "hosts.yml", ports, ansible_ssh_common_args=args)
    data = json.loads(path.read_text())
    data["all"]["children"]["proxy"]["hosts"]["proxy1"]["ansible_host"] = "localhost"
    path.write_text(json.dumps(data))
    return path, known


@pytest.mark.parametrize("typed", [b"\n", b"n\n", b"\x04"], ids=["enter", "n", "ctrl-d"])
def test_host_keys_are_trusted_by_a_yes_only(untrusted: tuple[Path, Path], typed: bytes) -> None:
    path, known = untrusted
    done = trusting(path, typed)
    assert done.returncode == 4 and "nothing was touched" in done.stderr, done
    assert "[y/N]" in done.stderr and not known.exists()


def test_a_host_that_does_not_answer_keeps_no_other_from_being_trusted(untrusted: tuple[Path, Path]) -> None:
    path, known = untrusted
    done = trusting(path, b"y\n")
    assert done.returncode == 3, done
    assert known.read_text().count("ssh-") == 2
    (message,) = messages(done.stderr)
    assert "host load1" in message.where and message.next
