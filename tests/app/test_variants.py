"""What every variant keeps to, whichever file it is; and what happens to a file that does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from tests.app.conftest import ROWS
from tests.app.server import REPO, AppServer, app_with

VARIANTS = sorted(path.stem for path in (REPO / "app" / "variants").glob("[!_]*.py"))
Serve = Callable[..., AppServer]


def test_the_variants_that_were_promised_are_there() -> None:
    assert {"plain", "local", "local_async", "global", "global_async"} <= set(VARIANTS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_keeps_the_contract(variant: str, serve: Serve, items_file: Path) -> None:
    server = serve(variant)
    assert server.get("/") == (200, {"Hello": "World"})
    for item in (0, 3, ROWS - 1):
        status, answer = server.get(f"/items/{item}?q=a%20b")
        assert (status, answer["item_id"], answer["q"]) == (200, item, "a b")
    assert server.get("/items/3")[1]["q"] is None
    assert server.get("/items/three")[0] == 422
    status, schema = server.get("/openapi.json")
    assert status == 200
    assert {path: sorted(verbs) for path, verbs in schema["paths"].items()} == {
        "/": ["get"],
        "/healthz": ["get"],
        "/items/{item_id}": ["get"],
    }
    assert server.get("/docs")[0] == server.get("/redoc")[0] == 200
    assert server.get("/healthz") == (
        200,
        {
            "deploy_id": "deploy-1",
            "variant": variant,
            "pid": server.process.pid,
            "in_flight": 0,
            "witness_lost": 0,
        },
    )


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "plain"])
def test_a_variant_with_data_answers_with_the_row(variant: str, serve: Serve, items_file: Path) -> None:
    server = serve(variant)
    row = pandas.read_parquet(items_file).to_dict("records")[7]
    assert server.get("/items/7?q=x") == (200, {**row, "q": "x"})
    assert server.get(f"/items/{ROWS}")[0] == 404


def test_plain_needs_neither_pandas_nor_pyarrow(app_tree: Path) -> None:
    code = (
        "import sys; from app import application, rows, serve, witness; application.load('plain'); "
        "print(sorted({'pandas', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": f"{REPO}:{app_tree}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.strip() == "[]", ran.stderr


BAD = {
    "no_router": ("x = 1", "holds no `router`"),
    "broken": ("import nothing_of_that_name", "cannot be loaded: ModuleNotFoundError"),
    "other_path": (
        "from fastapi import APIRouter\nrouter = APIRouter()\n"
        "router.add_api_route('/things/{item_id}', lambda item_id: item_id)",
        "must serve GET /items/{item_id}",
    ),
    "one_more": (
        "from fastapi import APIRouter\nrouter = APIRouter()\n"
        "router.add_api_route('/items/{item_id}', lambda item_id: item_id)\n"
        "router.add_api_route('/more', lambda: 1)",
        "and nothing else",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_variant_is_refused(name: str, serve: Serve, tmp_path: Path) -> None:
    source, said = BAD[name]
    server = serve(name, source=app_with(tmp_path / "copy", **{name: source}))
    assert server.process.wait(20) == 64
    assert said in server.log()
    assert server.files() == []


@pytest.mark.parametrize(
    ("settings", "exited", "said"),
    [
        ({"LOADPROOF_VARIANT": "globl"}, 64, "there are: " + ", ".join(VARIANTS)),
        ({"LOADPROOF_VARIANT": "../rows"}, 64, "there is no variant '../rows'"),
        ({"LOADPROOF_PORT": "eighty"}, 64, "LOADPROOF_PORT must be a number below 65536, not 'eighty'"),
        ({"LOADPROOF_PORT": "65536"}, 64, "LOADPROOF_PORT must be"),
        ({"LOADPROOF_OUT": ""}, 64, "LOADPROOF_OUT is not set"),
        ({"LOADPROOF_OUT": "/nowhere/at/all"}, 3, "cannot write rows to LOADPROOF_OUT=/nowhere/at/all"),
        ({"LOADPROOF_VARIANT": "local", "LOADPROOF_DATA": "/nowhere"}, 64, "'/nowhere' cannot be read"),
        ({"LOADPROOF_VARIANT": "global", "LOADPROOF_DATA": ""}, 64, "LOADPROOF_DATA"),
    ],
)
def test_a_bad_setting_ends_it_with_a_sentence(
    settings: dict[str, str], exited: int, said: str, serve: Serve
) -> None:
    server = serve(**settings)
    assert server.process.wait(20) == exited
    assert said in server.log()


def test_a_taken_port_ends_it(serve: Serve) -> None:
    server = serve(LOADPROOF_PORT=str(serve().port))
    assert server.process.wait(20) == 3
    assert "address already in use" in server.log()
