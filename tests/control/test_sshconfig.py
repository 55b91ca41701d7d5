"""What `ssh -G` prints is read as OpenSSH meant it: it puts paths with spaces side by side without any quotes."""

from __future__ import annotations

import os
import pwd
import re
import socket
from pathlib import Path

import pytest

from loadproof.control import tokens
from loadproof.control.sshconfig import SshSettings, paths, resolve
from loadproof.plan.shell import quote, ssh_path
from loadproof.plan.values import Host
from tests.control.servers import serving
from tests.control.test_ssh import works


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("/etc/a /etc/b", ("/etc/a", "/etc/b")),
        ("/home/My Name/.ssh/known_hosts /home/My Name/.ssh/known_hosts2",
         ("/home/My Name/.ssh/known_hosts", "/home/My Name/.ssh/known_hosts2")),
        ("/srv/two  spaces/x /dev/null", ("/srv/two  spaces/x", "/dev/null")),
        ("/home/o'brien/known_hosts ~/x", ("/home/o'brien/known_hosts", os.path.expanduser("~/x"))),
        ("relative", ("relative",)),
    ],
)  # fmt: skip
def test_files_that_are_not_there_yet_begin_as_paths_do(text: str, expected: tuple[str, ...]) -> None:
    assert paths(text) == expected


def test_a_file_that_is_there_is_named_by_all_words_that_name_it(tmp_path: Path) -> None:
    odd = tmp_path / "a /b"
    odd.parent.mkdir()
    for path in (odd, tmp_path / "one", tmp_path / "two"):
        path.touch()
    assert paths(f"{odd} {tmp_path}/one {tmp_path}/two") == (str(odd), f"{tmp_path}/one", f"{tmp_path}/two")


@pytest.mark.parametrize("folder", ["My Projects", "per%cent", "o'brien", "plain"])
@pytest.mark.parametrize("there", [True, False])
def test_our_own_paths_come_back_from_ssh_as_they_were(tmp_path: Path, folder: str, there: bool) -> None:
    known, other = tmp_path / folder / "known_hosts", tmp_path / folder / "others"
    if there:
        known.parent.mkdir()
        known.touch()
        other.touch()
    files = f"UserKnownHostsFile={ssh_path(str(known))} {ssh_path(str(other))}"
    key = tmp_path / folder / "id key"
    args = quote("-F", "none", "-o", files, "-o", "GlobalKnownHostsFile=/dev/null")
    found = resolve(Host("h1", ("app",), "h1", identity_file=str(key), ssh_common_args=args))
    assert found.known_hosts == (str(known), str(other), "/dev/null")
    assert found.identity_files == (str(key),)


HOME = pwd.getpwuid(os.getuid()).pw_dir
ME = pwd.getpwuid(os.getuid()).pw_name


def resolved(*options: str, ssh_host: str = "h1") -> SshSettings:
    args = quote("-F", "none", *(word for option in options for word in ("-o", option)))
    return resolve(Host("h1", ("app",), ssh_host, ssh_common_args=args))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("~/key", f"{HOME}/key"),
        ("~root/key", "/root/key"),
        ("%d/%r@%h:%p", f"{HOME}/you@real.host:22"),
        ("/%n/%k", "/Alias/other"),
        ("/%u/%i/%l/%L", f"/{ME}/{os.getuid()}/{socket.gethostname()}/{socket.gethostname().partition('.')[0]}"),
        ("/%%h/$HOME", "/%h/$HOME"),
        ("${ELSEWHERE}/key", "/else where/key"),
    ],
)  # fmt: skip
def test_tokens_of_an_identity_file(monkeypatch: pytest.MonkeyPatch, value: str, expected: str) -> None:
    monkeypatch.setenv("ELSEWHERE", "/else where")
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setenv("LOGNAME", "nobody")
    options = (f"IdentityFile={value}", "HostName=real.host", "User=you", "HostKeyAlias=other")
    assert resolved(*options, ssh_host="Alias").identity_files == (expected,)


def test_home_is_what_passwd_says_as_for_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    found = resolved("UserKnownHostsFile=~/a %d/b")
    assert found.known_hosts[:2] == (f"{HOME}/a", f"{HOME}/b")
    assert f"{HOME}/.ssh/id_ed25519" in found.identity_files
    assert not [path for path in (*found.identity_files, *found.known_hosts) if "nowhere" in path]
    assert paths("~/x") == (f"{HOME}/x",)


def test_tokens_of_known_hosts_are_replaced_once() -> None:
    found = resolved("UserKnownHostsFile=/a/%%h", "GlobalKnownHostsFile=/b/%h")
    assert found.known_hosts == ("/a/%h", "/b/%h")  # ssh knows none in the second


def test_tokens_of_a_jump_host() -> None:
    assert resolved("ProxyJump=%r@%n-jump,two", "User=you").jumps == ("you@h1-jump", "two")


@pytest.mark.parametrize("value", ["%", "%q", "%C", "${", "${NO_SUCH_NAME}"])
def test_a_token_that_is_not_known_is_named(value: str) -> None:
    known = tokens.values("h1", "", "h1", "me", 22)
    with pytest.raises(ValueError, match=re.escape(value)):
        tokens.expand(f"/x/{value}", known, tokens.FILE)


def test_a_host_answers_whose_key_and_known_hosts_are_in_a_folder_with_a_space(tmp_path: Path) -> None:
    with serving(tmp_path / "My Projects") as server:
        known = f"UserKnownHostsFile={ssh_path(str(server.folder / 'known_hosts'))}"
        args = quote("-F", "none", "-o", "IdentitiesOnly=yes", "-o", known)
        host = Host(**{**vars(server.host()), "ssh_common_args": args})
        assert works(host).stdout == "here\n"
