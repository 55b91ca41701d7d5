"""What the recorder costs, and whether it keeps everything: CPU per request in interleaved pairs, then real fleets.

    .venv/bin/python -m timings.recorder [--tree TREE] [--pairs 9] [--requests 20000] [--no-fleets]

TREE is a site-packages folder made from locks/load.lock (default: made in .cache when missing, as tests do).
Asked: at most 5 % more CPU per request with the recorder (rows and loop lag) than without it, same client and same id header in both arms; and with 3 and 10 workers
rows = Locust's count + cut = distinct ids at the server, no gap in any sequence. Locust's own FastHttpUser is shown
beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
USERS = 10
SLICE = 500  # short, so that what else the machine does hits all arms alike
ARMS = ("with", "without", "locust")
LIMIT = 1.05
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n" + b'{"Hello":"World"}'
)


class Quick(asyncio.Protocol):
    """Answers each request with the same bytes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


def serve() -> None:
    """Listens on a free port of 127.0.0.1, says which, and answers for ever."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Quick, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(run())


class Silent:
    """The worker without its recorder: ids and nothing else."""

    def __init__(self, worker: Any) -> None:
        self.trial, self.number, self.timeout_s = worker.trial, worker.number, worker.timeout_s
        self.next_id, self.next_user = worker.next_id, worker.next_user

    def record(self, *_: Any) -> None:
        """Nobody writes a row."""


def drive(url: str, pairs: int, requests: int) -> None:
    """In the tree's Python: prints one JSON line per pair, CPU microseconds per request by arm."""
    import gevent
    import locust
    from locust.env import Environment

    from loadtests.user import LoadUser
    from loadtests.worker import Worker

    folder = tempfile.mkdtemp()
    trial = SimpleNamespace(out=folder, timeout_s=10.0, think_s=0.0, seed=1, rows=10000)
    worker = Worker(trial, 1)  # type: ignore[arg-type]

    class Ours(LoadUser):
        tasks = [lambda user: None]

    class Theirs(locust.FastHttpUser):
        tasks = [lambda user: None]

    users: dict[str, list[Any]] = {}
    for arm in ARMS:
        environment: Any = Environment(host=url)
        environment.loadproof = worker if arm == "with" else Silent(worker)
        # Locust's own listener, as every runner has it
        environment.events.request.add_listener(
            lambda request_type, name, response_time, response_length, exception, stats=environment.stats, **_: (
                stats.log_request(request_type, name, response_time, response_length)
            )
        )
        kind = Theirs if arm == "locust" else Ours
        kind.host = url
        users[arm] = [kind(environment) for _ in range(USERS)]

    def spend(arm: str) -> int:
        lag = gevent.spawn(worker._measure_lag) if arm == "with" else None
        begin = time.process_time_ns()
        gevent.joinall([gevent.spawn(ask, user, SLICE // USERS) for user in users[arm]], raise_error=True)
        spent = time.process_time_ns() - begin
        if lag is not None:
            lag.kill()
            worker._lags.clear()
        return spent

    def ask(user: Any, times: int) -> None:
        for number in range(times):
            user.client.get(f"/items/{number}", name="/items/{item_id}")

    for arm in ARMS:
        spend(arm)
    for pair in range(pairs):
        spent = dict.fromkeys(ARMS, 0)
        for turn in range(requests // SLICE):
            for arm in ARMS if (pair + turn) % 2 else reversed(ARMS):
                spent[arm] += spend(arm)
        print(json.dumps({arm: spent[arm] / requests / 1000 for arm in ARMS}), flush=True)


def cost(tree: str, pairs: int, requests: int) -> float:
    """Print the figures; the ratio of medians, with over without."""
    environment = {"PATH": os.defpath, "PYTHONPATH": f"{tree}:{ROOT}"}
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        command = [sys.executable, "-S", __file__, "--drive", url, str(pairs), str(requests)]
        out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    finally:
        server.kill()
        server.communicate()
    rows = [json.loads(line) for line in out.splitlines()]
    for number, row in enumerate(rows, 1):
        print(
            f"pair {number}: " + "  ".join(f"{arm} {row[arm]:6.1f}" for arm in ARMS) + "  us CPU per request"
        )
    medians = {arm: statistics.median(row[arm] for row in rows) for arm in ARMS}
    ratio = medians["with"] / medians["without"]
    print("medians: " + "  ".join(f"{arm} {medians[arm]:.1f}" for arm in ARMS))
    print(
        f"CPU-s per 100 000 requests: with {medians['with'] / 10:.2f}, without {medians['without'] / 10:.2f}"
    )
    print(f"with / without: {ratio:.3f} (asked: <= {LIMIT})")
    return ratio


def fleets(tree: str) -> None:
    """Real fleets of 3 and 10 workers: AssertionError if anything was lost or sent twice."""
    from tests.loadtests.fleet import Fleet
    from tests.loadtests.server import BadServer
    from tests.loadtests.test_load import assert_conserved

    for workers in (3, 10):
        with tempfile.TemporaryDirectory() as folder, BadServer(lambda _: "slow") as server:
            settings = {"workers": workers, "users": 10 * workers, "step": workers, "hold": 3.0, "think_s": 0}
            fleet = Fleet(Path(tree), ROOT, Path(folder), {**settings, "target": server.url})
            begin = time.monotonic()
            try:
                fleet.start().wait(120)
            finally:
                fleet.end()
            beyond = time.monotonic() - begin - fleet.table[-1][0] - 3.0
            assert_conserved(fleet, server)
            rows = len(fleet.requests())
            print(
                f"{workers} workers: {rows} rows = count + cut = ids at the server; {beyond:.2f} s beyond the load"
            )


def main() -> int:
    """0: within the limit and nothing lost."""
    if sys.argv[1:2] == ["--serve"]:
        serve()
    if sys.argv[1:2] == ["--drive"]:
        drive(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tree", help="default: installed into .cache, as tests do")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--no-fleets", action="store_true")
    options = parser.parse_args()
    if not options.tree:
        sys.path.insert(0, str(ROOT))
        from tests.trees import tree

        options.tree = str(tree("load"))
    ratio = cost(options.tree, options.pairs, options.requests)
    if not options.no_fleets:
        fleets(options.tree)
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
