"""The proxy's configuration, as text and under a real nginx (from the PATH, or out of the lab's image)."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from analysis.readers import accesslog, lines
from loadproof.plan import rate
from loadproof.plan.desired import nginx_conf
from loadproof.plan.render import environment
from loadproof.plan.values import STATUS_PORT, Host, Serving
from loadproof.runfolder.formats import ACCESS_LOG, PROXY_FIELDS
from tests.plan.inventories import ROOT


def host(name: str, role: Any, port: int, address: str = "127.0.0.1") -> Host:
    return Host(name, (role,), name, address=address, ports=((role, port),))


def conf(proxy: int, *backends: int) -> tuple[str, str]:
    servers = tuple(host(f"app{port}", "app", port) for port in backends)
    text, digest = nginx_conf(environment(ROOT), host("proxy", "proxy", proxy), servers, Serving())
    return text.decode(), digest


def test_the_log_has_exactly_the_fields_of_the_formats() -> None:
    text, _ = conf(8080, 8001)
    pieces = re.search(r"log_format loadproof escape=default(.*?);\n", text, re.DOTALL)
    assert pieces
    names = "".join(re.findall(r"'([^']*)'", pieces[1])).split(r"\t")
    variables = {
        "id": "$http_x_loadproof_id", "port": "$remote_port", "peer": "$remote_addr",
        "completion": "$request_completion", "bytes": "$body_bytes_sent", "method": "$request_method", "uri": "$request_uri",
    }  # fmt: skip
    assert names == [variables.get(name, f"${name}") for name in PROXY_FIELDS]


def test_one_and_two_servers_differ_in_nothing_else() -> None:
    one, two = conf(8080, 8001)[0].splitlines(), conf(8080, 8001, 8002)[0].splitlines()
    digests = conf(8080, 8001)[1], conf(8080, 8001, 8002)[1]
    extra = [line.strip() for line in two if line not in one and digests[1] not in line]
    assert extra == ["server 127.0.0.1:8002 max_fails=0;"]
    assert [line for line in one if line not in two and digests[0] not in line] == []


def test_the_empty_page_is_where_the_scenario_asks_for_it() -> None:
    text, _ = conf(8080, 8001)
    assert f"location = {rate.PATH} {{" in text
    assert f'"{rate.PATH}"' in (ROOT / "loadtests" / "scenarios" / f"{rate.SCENARIO}.py").read_text()


def test_the_hash_is_of_the_text_and_in_it() -> None:
    text, digest = conf(8080, 8001)
    assert conf(8080, 8001)[1] == digest != conf(8080, 8002)[1]
    assert text.count(digest) == 2
    assert re.fullmatch("[0-9a-f]{16}", digest)


@pytest.mark.parametrize(
    "stated",
    ["zone backends", "max_fails=0", "proxy_next_upstream off", "proxy_http_version 1.0", "proxy_connect_timeout 60s",
     "proxy_send_timeout 60s", "proxy_read_timeout 60s", "worker_connections 16384",
     "flush=1s", "X-Loadproof-Id $http_x_loadproof_id", "proxy_ignore_client_abort off", "user loadproof",
     "pid /run/loadproof/nginx.pid", "error_log /var/lib/loadproof/current/error.log warn",
     "access_log /var/lib/loadproof/current/access.tsv loadproof", f"listen 127.0.0.1:{STATUS_PORT}"],
)  # fmt: skip
def test_what_shapes_a_measurement_is_stated(stated: str) -> None:
    assert f"{stated}" in conf(8080, 8001)[0]


def nginx_words() -> list[str] | None:
    """How to start an nginx that is on this machine: its own, or the one of the lab's image with that image's libraries."""
    if found := shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        return [found]
    for program in ROOT.glob(".cache/lab/image/*/root/usr/sbin/nginx"):
        root = program.parents[2]
        libraries = ":".join(
            str(path) for path in (*root.glob("lib/*-linux-gnu"), *root.glob("usr/lib/*-linux-gnu"))
        )
        loader = next(iter([*root.glob("lib64/ld-linux-*"), *root.glob("lib/ld-linux-*")]), None)
        if loader:
            return [str(loader), "--library-path", libraries, str(program)]
    return None


class Backend(BaseHTTPRequestHandler):
    """Says what it was asked with; /dies: only that there would be an answer."""

    def do_GET(self) -> None:
        if self.path == "/dies":
            self.send_response(200)
            self.send_header("Content-Length", "25")
            self.end_headers()
            return
        body = json.dumps({"headers": dict(self.headers), "version": self.request_version}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass(frozen=True)
class Proxy:
    port: int
    status: int
    digest: str
    folder: Path
    dead: int  # the port of a backend that is not there
    process: subprocess.Popen[bytes]


def until(condition: Any, within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "not within 10 s"
        time.sleep(0.02)


def get(url: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(
        url, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """A real nginx with our configuration: paths, ports and user are the test's, nothing else."""
    words = nginx_words()
    if words is None:
        pytest.skip("no nginx on this machine, and no image of the lab to take one from")
    backend = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    port, status, dead = free_ports(3)
    text, digest = conf(port, backend.server_port, dead)
    user = "root" if os.geteuid() == 0 else ""
    text = text.replace("user loadproof;", f"user {user};" if user else "").replace(
        f":{STATUS_PORT}", f":{status}"
    )
    for path in ("/var/lib/loadproof/current", "/var/lib/loadproof/nginx", "/run/loadproof"):
        text = text.replace(path, str(tmp_path))
    (tmp_path / "nginx.conf").write_text(text)
    common = [*words, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    checked = subprocess.run([*common, "-t"], capture_output=True, text=True, timeout=30)
    assert "test is successful" in checked.stderr, checked.stderr
    assert "[warn]" not in checked.stderr
    process = subprocess.Popen([*common, "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    try:
        until(lambda: (tmp_path / "nginx.pid").exists() and (tmp_path / "nginx.pid").read_text())
        yield Proxy(port, status, digest, tmp_path, dead, process)
    finally:
        process.terminate()
        process.wait(10)
        backend.shutdown()
        backend.server_close()


def rows(proxy: Proxy) -> list[dict[str, str]]:
    path = proxy.folder / ACCESS_LOG
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [dict(zip(PROXY_FIELDS, line.split("\t"), strict=True)) for line in lines]


def test_under_a_real_nginx(proxy: Proxy) -> None:
    url = f"http://127.0.0.1:{proxy.port}"
    assert get(f"http://127.0.0.1:{proxy.status}/config") == (200, f"{proxy.digest}\n".encode())
    assert b"Active connections" in get(f"http://127.0.0.1:{proxy.status}/status")[1]
    answers = [get(f'{url}/items/3?q="x', X_Loadproof_Id=f"{number:016x}") for number in range(4)]
    # Round robin over one that lives and one that does not: each failure is an answer, nothing is sent twice.
    assert sorted(status for status, _ in answers) == [200, 200, 502, 502]
    seen = [json.loads(body) for status, body in answers if status == 200]
    assert {each["version"] for each in seen} == {"HTTP/1.0"}
    assert get(url)[0] in (200, 502)
    assert get(f"{url}{rate.PATH}") == (200, b"")  # of nginx itself, and in no log
    until(lambda: len(rows(proxy)) == 5)  # the flush of one second, and nothing of the status server
    # Each of nginx's workers flushes its own lines: order is by time, not by line.
    logged = sorted(rows(proxy), key=lambda row: row["id"].replace("-", "last"))
    assert [row["id"] for row in logged] == [*(f"{number:016x}" for number in range(4)), "-"]
    assert {each["headers"]["X-Loadproof-Id"] for each in seen} == {
        row["id"] for row in logged[:4] if row["status"] == "200"
    }
    assert logged[0]["uri"] == r"/items/3?q=\x22x"
    assert {row["upstream_addr"] for row in logged if row["status"] == "502"} == {f"127.0.0.1:{proxy.dead}"}
    assert all(re.fullmatch(r"\d{10}\.\d{3}", row["msec"]) and row["connection"].isdigit() for row in logged)
    assert {row["completion"] for row in logged} == {"OK"}


def test_what_a_client_sends_cannot_break_a_line(proxy: Proxy) -> None:
    """Bytes of all kinds where clients may put them; the reader gives them back as they were."""
    text, byte = 'a"b\\c\x7fé', b"\xff"
    url, header = text.encode() + byte, text.encode() + byte + b"\x01\x1b\ttab"
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as connection:
        connection.sendall(
            b"GET /%s HTTP/1.0\r\nX-Loadproof-Id: %s\r\n\r\n" % (url.replace(b"\x7f", b""), header)
        )
        while connection.recv(4096):
            pass
    for header in (b"", b"X-Loadproof-Id:\r\n"):
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n" + header + b"\r\n")
            while connection.recv(4096):
                pass
    path = proxy.folder / ACCESS_LOG
    until(lambda: path.exists() and path.read_bytes().count(b"\n") == 3)
    malformed = lines.Malformed()
    table, count = accesslog.tabbed(path.read_bytes(), malformed)
    assert (count, malformed.count, table.num_rows) == (3, 0, 3)
    assert sorted(map(accesslog.text, table["id"].to_pylist())) == ["", "-", f"{text}\\xff\x01\x1b\ttab"]
    uris = {accesslog.text(one) for one in table["uri"].to_pylist()}
    assert uris == {"/", f"/{text}\\xff".replace("\x7f", "")}


def test_an_answer_that_breaks_off_after_its_head(proxy: Proxy) -> None:
    """The client is hung up on; the access log calls it a complete 200 without a body, only the error log knows better."""
    outcomes = set()
    for number in range(8):  # each of nginx's workers may begin with the backend that is not there
        try:
            outcomes.add(get(f"http://127.0.0.1:{proxy.port}/dies", X_Loadproof_Id=f"{number:016x}")[0])
        except http.client.IncompleteRead as error:
            assert error.partial == b""
            outcomes.add("hung up")
    assert outcomes == {502, "hung up"}
    until(lambda: len(rows(proxy)) == 8)
    broken = [row for row in rows(proxy) if row["status"] == "200"]
    assert {(row["completion"], row["bytes"], row["upstream_status"]) for row in broken} == {
        ("OK", "0", "200")
    }
    said = (proxy.folder / "error.log").read_text()
    assert said.count("prematurely closed connection while reading upstream") == len(broken)
