"""A trial from the words to the figures: what is written when, what is fetched, and that nothing is lost on the way."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadproof.runfolder import formats
from tests.words.trials import (
    SHORT,
    STAGES,
    Run,
    assert_quiet,
    assert_sealed,
    bench,
    fetch,
    health,
    inv,
    newest,
)
from tests.words.words import APPS, HOSTS, Said, Shell, Words, judged, variant_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def done(words: Words, shell: Shell) -> Run:
    """A bench of two servers, sealed and fetched."""
    run = bench(words, "--servers", "2", "--hold", "4s", "--name", "two", "--note", "of the tests")
    assert_quiet(shell)
    assert_sealed(shell, run)
    fetch(words, run)
    return run


def test_decided_first_then_done_in_order(done: Run) -> None:
    assert tuple(done.stages("begin")) == tuple(done.stages("end")[:-1]) == STAGES
    assert done.stages("end")[-1] == "trial"
    first_us = done.journal()[0]["realtime_us"]
    for path in (done.path / "run.json", done.trial / "plan.json"):
        assert path.stat().st_mtime_ns // 1000 < first_us, path
    moments = [line["monotonic_ns"] for line in done.journal()]
    assert moments == sorted(moments)
    assert {line["event"] for line in done.journal()} == {"begin", "end", "action", "note", "limiter"}


def test_every_file_is_what_its_host_sealed(done: Run) -> None:
    for host in HOSTS:
        manifest = json.loads((done.raw(host) / formats.MANIFEST).read_text())
        assert (manifest["run"], manifest["trial"], manifest["host"]) == (done.id, "01", host)
        here = {str(path.relative_to(done.raw(host))) for path in done.raw(host).rglob("*") if path.is_file()}
        assert here == {entry["path"] for entry in manifest["files"]} | {formats.MANIFEST}
        for entry in manifest["files"]:
            data = (done.raw(host) / entry["path"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["size"], entry["sha256"])


def of_the_load(ids: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Ids made by Locust workers."""
    worker = formats.worker_of(ids)
    return ids[(worker >= 1) & (worker < formats.FIRST_RESERVED_WORKER)]


def test_no_request_is_lost_between_the_witnesses(done: Run) -> None:
    seen, never, counted = [], 0, 0
    for host, worker in done.plan["workers"]:
        rows = done.rows(done.raw(host) / f"requests-{worker}.rows", formats.CLIENT_ROW)
        rows = rows[rows["kind"] == formats.KIND_REQUEST]
        totals = json.loads((done.raw(host) / f"totals-{worker}.json").read_text())
        cut = int(np.count_nonzero(rows["error"] == formats.ERROR_CLASSES.index("cut")))
        assert len(rows) == totals["requests"] + cut and totals["lost_rows"] == 0
        sequence = np.sort(rows["id"] & np.uint64((1 << 48) - 1))
        assert (sequence == np.arange(len(rows), dtype=np.uint64)).all(), "a gap is a lost row"
        assert (formats.worker_of(rows["id"]) == worker).all()
        seen.append(rows["id"])
        never += totals["connected_never"]
        counted += len(rows)
    logged = [line["id"] for line in done.logged()]
    proxied = of_the_load(np.array([int(one, 16) for one in logged if len(one) == 16], np.uint64))
    assert len(proxied) == len(set(proxied.tolist())), "nothing is sent twice"
    assert counted == len(proxied) + never > 0
    files = [path for host in APPS for path in done.raw(host).glob("app-*.rows")]
    read = np.concatenate([done.rows(path, formats.APP_ROW)["id"] for path in files])
    assert set(of_the_load(read).tolist()) <= set(proxied.tolist()) <= set(np.concatenate(seen).tolist())
    assert (
        done.results["arms"][0]["whole_run"]["requests"] + done.results["arms"][0]["whole_run"]["cut"]
        == counted
    )


def test_how_fast_the_generator_could_have_gone_is_known(done: Run) -> None:
    facts = [json.loads(line) for line in (done.trial / "facts.jsonl").read_text().splitlines()]
    (rate,) = [line for line in facts if line["when"] == "rate"]
    assert (rate["host"], rate["workers"], rate["failed"]) == ("load1", 2, 0)
    assert rate["rate"] >= 2 * done.results["arms"][0]["whole_run"]["peak_tps"]


SERVER = {
    "host": str, "requests": int, "cpu_percent": float, "limit_percent": float, "limit_set": float, "undelivered": int,
    "broken_pipe": int,
}  # fmt: skip
FIGURES = {
    "window": {"kind": str, "users": int, "from_s": float, "to_s": float}, "requests": int, "failures": int, "tps": float,
    "mtt_ms": float, "mtsd_ms": float, "p50_ms": float, "p95_ms": float, "p99_ms": float, "undelivered": int,
    "broken_pipe": int, "errors": {}, "efficiency": float, "servers": [SERVER],
    "whole_run": {
        "requests": int, "failures": int, "tps": float, "peak_tps": float, "mtt_ms": float, "undelivered": int,
        "broken_pipe": int, "errors": {},
    },
}  # fmt: skip
FORMAT_1 = {
    "format": int, "run": str,
    "arms": [
        {"label": str, "factors": {"servers": int}, **FIGURES, "trials": [{"id": str, "block": int, **FIGURES}]},
    ],
}  # fmt: skip


def unlike(value: Any, form: Any, where: str = "results") -> list[str]:
    """Where a value lacks a key of a form or has another type; a whole number may stand for a fraction."""
    if isinstance(form, dict):
        missing = [f"{where}.{name} is missing" for name in form if name not in value]
        known = [(value[name], one, f"{where}.{name}") for name, one in form.items() if name in value]
        return missing + [line for one in known for line in unlike(*one)]
    if isinstance(form, list):
        return [line for index, one in enumerate(value) for line in unlike(one, form[0], f"{where}[{index}]")]
    kinds = (int, float) if form is float else (form,)
    good = isinstance(value, kinds) and not isinstance(value, bool)
    return [] if good else [f"{where} is {value!r}, no {form.__name__}"]


def test_results_have_every_key_of_format_1(done: Run) -> None:
    results = done.results
    assert unlike(results, FORMAT_1) == []
    (arm,) = results["arms"]
    assert (results["format"], results["run"], arm["label"]) == (1, done.id, "servers=2")
    assert [server["host"] for server in arm["servers"]] == list(APPS)
    assert arm["requests"] == sum(server["requests"] for server in arm["servers"]) > 0
    assert arm["window"]["short"] is True and arm["window"]["users"] == 6
    assert arm["failures"] == 0 and results["incomplete"] == []
    same = (arm.keys() & arm["trials"][0].keys()) - {"errors_begin"}  # which an arm has of each of its trials
    assert {name: arm["trials"][0][name] for name in same} == {name: arm[name] for name in same}


def test_fetching_again_changes_nothing_and_json_is_pure(words: Words, done: Run) -> None:
    before = done.hashes()
    said = judged(inv(words, "fetch-results", "--json", "--run", done.id))
    assert json.loads(said.out) == done.results
    assert done.hashes() == before
    assert (done.path / "report.html").stat().st_size > 10_000


def test_words_that_look(words: Words, done: Run) -> None:
    runs, status, facts = (inv(words, word) for word in ("runs", "status", "facts"))
    assert (runs.code, status.code, facts.code) == (0, 0, 0)
    assert done.id in runs.out and "of the tests" in runs.out and "analysed" in runs.out
    assert {line.split()[0] for line in status.out.splitlines() if line.strip()} >= set(HOSTS)
    answers = json.loads(facts.out)
    assert sorted(answers) == sorted(HOSTS)
    assert all(answer["units"] and answer["cpus"] for answer in answers.values())


def test_plan_asks_no_host(words: Words, tmp_path: Path) -> None:
    nowhere = {
        host: {"ansible_host": "127.0.0.1", "ansible_port": number}
        for number, host in enumerate(HOSTS, start=1)
    }
    path = variant_of(words.inventory, tmp_path / "nowhere.yml", nowhere)
    before = sorted(words.results.iterdir())
    said = words.inv("plan", "--servers", "2", *SHORT, inventory=path)
    assert said.code == 0, said
    shown = [line.removeprefix("stage ") for line in said.out.splitlines() if line.startswith("stage ")]
    assert shown == [stage for stage in STAGES if stage != "facts"]
    files = words.inv("plan", "--servers", "2", *SHORT, "--files", inventory=path)
    assert "proxy_pass" in files.out and "ExecStart=" in files.out, files
    assert sorted(words.results.iterdir()) == before


CASES = {
    "local": ("--limiter", "none"),
    "local_async": (),
    "global": ("--limiter", "quota"),
    "global_async": ("--think", "50ms"),
}


@pytest.mark.long
@pytest.mark.parametrize("variant", CASES)
def test_every_variant_is_deployed_and_measured(words: Words, shell: Shell, variant: str) -> None:
    said = inv(words, "bench", *SHORT, "--hold", "2s", "--variant", variant, *CASES[variant])
    assert said.code == 0, said
    run = newest(words)
    assert health(shell, "app1")["variant"] == variant
    assert shell.active("app2", "loadproof-app.service") == "inactive"
    summary = fetch(words, run)
    (arm,) = run.results["arms"]
    assert arm["requests"] > 0 and arm["failures"] == 0
    assert_idle(run, shell)
    LIMITERS.get(run.plan["limit"]["kind"], held)(run, said, summary)


def assert_idle(run: Run, shell: Shell) -> None:
    """The server that is not in the arm got no request."""
    assert run.plan["idle_apps"] == ["app2"] and not list(run.raw("app2").glob("app-*.rows"))
    served = {line["upstream_addr"] for line in run.logged()}
    assert served == {f"{shell.addresses['app1']}:8000"}


def held(run: Run, said: Said, summary: Said) -> None:
    """cpulimit was attached to the app before the load, until the end."""
    names = [event["event"] for event in run.limiter("app1")]
    assert names == ["started", "attached", "detached", "lifted", "ended"]
    assert "incomplete" not in summary.out, summary


def quota(run: Run, said: Said, summary: Said) -> None:
    """Where the kernel does not hold what systemd accepted, every place says so."""
    (event,) = run.limiter("app1", "in_force")
    if event["ok"]:
        assert "in force" not in summary.out
        return
    sentence = f"app1: the limit was {event['why']}"
    assert sentence.startswith("app1: the limit was accepted but not in force")
    assert sentence in said.err, said
    assert sentence in summary.out, summary
    assert [line for line in run.results["incomplete"] if sentence in line]
    assert "accepted but not in force" in (run.path / "report.html").read_text()
    assert [line for line in run.journal() if line["event"] == "note" and line["detail"] == event["why"]]


def none(run: Run, said: Said, summary: Said) -> None:
    """Nothing limits, and nobody says that anything did."""
    assert [event["event"] for event in run.limiter("app1")] == ["started", "lifted", "ended"]
    (server,) = run.results["arms"][0]["servers"]
    assert server["limit_percent"] is None and "no limit" in said.err and "incomplete" not in summary.out


LIMITERS = {"quota": quota, "none": none}


def test_a_report_of_two_runs_names_its_sources(words: Words, done: Run) -> None:
    other = Run(Path(shutil.copytree(done.path, done.path.with_name(f"{done.id}-again"))))
    last, before = newest(words).id, done.hashes() | other.hashes()
    said = judged(inv(words, "report", done.id, other.id, "--json"))
    results = json.loads(said.out)
    made = Run(words.results / results["run"])
    assert made.id not in (done.id, other.id) and newest(words).id == last  # `latest` stays with the trial
    assert results["sources"] == [done.id, other.id]
    assert [arm["requests"] for arm in results["arms"]] == [
        run.results["arms"][0]["requests"] for run in (done, other)
    ]
    assert (made.path / "report.html").exists()
    assert done.hashes() | other.hashes() == before
    assert made.id in inv(words, "runs").out
