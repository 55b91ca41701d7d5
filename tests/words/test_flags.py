"""Flags that say less than they seem to, or nothing: each is refused before anything is touched."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
from invoke.parser.context import ParserContext

import tasks
from loadproof.errors import BadInput
from loadproof.plan.flags import count
from tests.control.servers import serving
from tests.words.test_signals import inventory, silent
from tests.words.words import REPO, Message, messages
from words import given

__all__ = ["silent"]
HOSTS = "inventory/example.yml"


def inv(*words: str, **options: str) -> subprocess.CompletedProcess[str]:
    """`./inv WORDS` with nobody at the terminal."""
    return subprocess.run(
        ["./inv", *words], cwd=REPO, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        env=os.environ | options,
    )  # fmt: skip


def refusal(done: subprocess.CompletedProcess[str], code: int = 64) -> Message:
    """The one message of a word that was refused, whole."""
    (message,) = messages(done.stderr)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    assert message.error and message.where and message.kept and message.next, done.stderr
    return message


# No word here would touch a host if it were not refused.
@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (("plan", "-i", HOSTS, "--hold", "", "--name="), ("--hold: ", "--name: ")),
        (("fetch-results", "--run", ""), ("--run: ",)),
        (("report", "a", "--run="), ("--run: ",)),
        (("plan", "-i", ""), ("-i: ",)),
        (("plan", "--group="), ("--group: ",)),
        (("runs", "plan", "--note", ""), ("--note: ",)),
    ],
)
def test_a_value_that_is_empty(words: tuple[str, ...], flags: tuple[str, ...], tmp_path: Path) -> None:
    error = refusal(inv(*words, LOADPROOF_RESULTS=str(tmp_path))).error
    assert [flag for flag in flags if f"{flag}an empty value" in error] == list(flags)
    assert len(error.splitlines()) == len(flags)


@pytest.mark.parametrize("word", sorted(set(tasks.ns.task_names) - {"lint", "test"}))
def test_an_empty_value_of_any_flag_of_any_word(word: str) -> None:
    arguments = [one for one in tasks.ns[word].get_arguments() if one.kind in (str, list)]
    for one in arguments:
        one.set_value(" ")
    if arguments:
        with pytest.raises(BadInput) as caught:
            given.refuse_unclear([ParserContext(word, args=arguments)])
        assert all("--" + one.name in caught.value.what for one in arguments if len(one.name) > 1)
    else:
        given.refuse_unclear([ParserContext(word)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("deploy", "-i", "/no/such.yml", "--hosts", ","), "--hosts: ',': nothing stands beside a comma"),
        (("facts", "-i", "/no/such.yml", "--hosts", "app1,,app2"), "--hosts: 'app1,,app2'"),
        (("plan", "-i", HOSTS, "--group", "app=web,"), "--group: 'app=web,'"),
        (("plan", "-i", HOSTS, "--group", "app=web, app=lb"), "maps app twice"),
        (("plan", "-i", HOSTS, "--inventory", "other.yml"), "two inventories"),
    ],
)
def test_a_list_that_is_none(words: tuple[str, ...], said: str) -> None:
    assert said in refusal(inv(*words)).error


@pytest.mark.parametrize("text", ["0", "-1", "²", "١", "1.0", "9" * 5000])
def test_a_number_that_is_none(text: str) -> None:
    with pytest.raises(BadInput, match="is no number of hosts") as caught:
        count("--app", text)
    assert caught.value.next.startswith("--app ")


def test_spaces_in_a_mapping_are_nobodys_names(tmp_path: Path) -> None:
    text = (REPO / HOSTS).read_text().replace("app:", "web:", 1)
    (tmp_path / "hosts.yml").write_text(text)
    done = inv("plan", "-i", str(tmp_path / "hosts.yml"), "--group", " app = web, load=load ")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_takes_nothing_is_named(tmp_path: Path, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            ["./inv", "runs"], cwd=REPO, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
            env=os.environ | {"LOADPROOF_RESULTS": str(tmp_path), "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert "standard output could not be written: No space left" in refusal(done, 3).error


# --- trust, with nobody there ------------------------------------------------------------------------


def groups_renamed(path: Path) -> None:
    """The hosts of group app in a group web."""
    data = json.loads(path.read_text())
    data["all"]["children"]["web"] = data["all"]["children"].pop("app")
    path.write_text(json.dumps(data))


def test_nobody_looks_at_keys_and_some_hosts_are_silent(tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    args = f"-F none -o UserKnownHostsFile={known} -o GlobalKnownHostsFile=/dev/null -o ConnectTimeout=1"
    with serving(tmp_path) as server, socket.create_server(("127.0.0.1", 0)) as quiet:
        known.unlink()
        ports = {"app1": server.port, "proxy1": quiet.getsockname()[1], "load1": 1}
        path = inventory(tmp_path / "hosts.yml", ports, ansible_ssh_common_args=args)
        groups_renamed(path)
        words = ("trust", "-i", str(path), "--group", "app=web")
        done = inv(*words)
        silent, refused, nobody = messages(done.stderr)
        assert done.returncode == 3 and "Traceback" not in done.stderr and not known.exists(), done.stderr
        assert "no answer from" in silent.error and "connection refused" in refused.error
        assert nobody.error.startswith("nobody is here") and nobody.where == "host app1" and nobody.kept
        assert nobody.next == f"./inv trust -i {path} --group app=web --yes"
        assert inv(*words, "--yes").returncode == 3 and known.exists()
        again = inv(*words)  # nothing is left to look at
        assert again.returncode == 3 and "nobody is here" not in again.stderr


@pytest.mark.parametrize("word", ["trust", "doctor", "status"])
def test_no_host_says_anything(tmp_path: Path, silent: dict[str, int], word: str) -> None:
    args = "-F none -o ConnectTimeout=1"
    done = inv(word, "-i", str(inventory(tmp_path / "hosts.yml", silent, ansible_ssh_common_args=args)))
    assert done.returncode == 3 and "Exception" not in done.stderr and "nobody is here" not in done.stderr, (
        done
    )
    assert all(
        f"no answer from 127.0.0.1:{port} within 1 s" in done.stdout + done.stderr for port in silent.values()
    )
