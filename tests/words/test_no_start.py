"""Deploys on the lab whose programs do not start: the program's own words come at once, and a later deploy heals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.words.words import Shell, Words, refused, variant_of

pytestmark = pytest.mark.lab

# The host's own Python fails for the app, which is nothing that a deploy would put right.
SITE = "$(readlink -f $(/usr/bin/python3 -c 'import sitecustomize; print(sitecustomize.__file__)'))"
BROKEN = """
import os, sys
if "app.serve" in sys.orig_argv:
    os.write(2, b"lptest: broken on purpose\\n")
    os._exit(1)
"""


@contextmanager
def healed(words: Words) -> Iterator[None]:
    """Everything is deployed again afterwards, and as desired."""
    try:
        yield
    finally:
        said = words.inv("deploy", within_s=200)
    assert said.code == 0, said
    again = words.inv("deploy")
    assert {row[0] for row in again.recap.values()} == {"ok"}, again


def test_an_address_that_is_a_name_nobody_knows(
    words: Words, shell: Shell, lab_alone: Path, tmp_path: Path
) -> None:
    """It is looked up once, before anything is touched: nginx would ask again at each start."""
    alias = {"app1": {"loadproof_address": "lptest-no-such-name"}}
    other = variant_of(lab_alone, tmp_path / "hosts.yml", alias)
    before = shell.state()
    said = words.inv("deploy", inventory=other)
    refused(
        said, 64, "lptest-no-such-name", "no IPv4 address", where="before any host", next="loadproof_address"
    )
    assert shell.state() == before


def test_an_nginx_that_rejects_its_configuration(words: Words, shell: Shell) -> None:
    """It says so with file and line before the old one is stopped."""
    pid = shell.run("proxy", "systemctl show -p MainPID --value loadproof-proxy")
    nginx = shell.run("proxy", "command -v nginx").strip()
    with healed(words):
        try:
            shell.run("proxy", f"mv {nginx} {nginx}.real && echo '# by hand' >> /etc/loadproof/nginx.conf")
            fake = f"#!/bin/sh\ncase $* in *-t*) echo 'nginx: [emerg] lptest in /x.conf:7' >&2; exit 1 ;; esac\nexec {nginx}.real $@\n"
            shell.put("proxy", nginx, fake.encode())
            shell.run("proxy", f"chmod 755 {nginx}")
            said = words.inv("deploy")
        finally:
            shell.run("proxy", f"mv {nginx}.real {nginx}")
        refused(said, 3, "lptest in /x.conf:7", where="host proxy", next="inv deploy", kept="stay")
        assert shell.run("proxy", "systemctl show -p MainPID --value loadproof-proxy") == pid


def test_an_app_on_a_low_port(words: Words, shell: Shell, lab_alone: Path, tmp_path: Path) -> None:
    """A user that is not root may listen there."""
    other = variant_of(lab_alone, tmp_path / "hosts.yml", {"app1": {"loadproof_port": 80}})
    program = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:80/healthz', timeout=5).read().decode())"
    with healed(words):
        said = words.inv("deploy", inventory=other)
        assert said.code == 0, said
        assert json.loads(shell.run("app1", f'/usr/bin/python3 -I -c "{program}"'))["variant"] == "plain"
        assert shell.run(
            "app1", "ps -o user= -p $(systemctl show -p MainPID --value loadproof-app)"
        ).strip() == ("loadproof")


def test_an_app_that_does_not_start(words: Words, shell: Shell) -> None:
    """Its last words come with the error, long before the minute that a slow host is given."""
    with healed(words):
        try:
            shell.put("app2", "/tmp/lptest-broken.py", BROKEN.encode())
            shell.run("app2", f"cp -p {SITE} /tmp/lptest-site.py; cat /tmp/lptest-broken.py >> {SITE}")
            shell.run("app2", "echo '# by hand' >> /etc/loadproof/app.env")
            said = words.inv("deploy")
        finally:
            shell.run("app2", f"cp -p /tmp/lptest-site.py {SITE}; rm /tmp/lptest-*.py")
        # a program that ends at once may fail its very start, or come up and go again
        phrases = ("loadproof-app.service", "lptest: broken on purpose")
        refused(said, 3, *phrases, where="host app2", next="inv deploy", kept="stay")
        assert said.seconds < 45, said
