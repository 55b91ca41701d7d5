"""Thresholds as a person writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadproof.errors import BadInput
from loadproof.plan import experiment, thresholds
from loadproof.plan.thresholds import Threshold


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("p95_ms < 500", Threshold("p95_ms < 500", "p95_ms", "<", 500.0)),
        (" tps>=12.5 ", Threshold("tps>=12.5", "tps", ">=", 12.5)),
        ("failures < 1%", Threshold("failures < 1%", "failures", "<", 1.0, share=True)),
        ("failures <= 3", Threshold("failures <= 3", "failures", "<=", 3.0)),
        (
            "ratio(servers=2/servers=1).tps > 1.5",
            Threshold(
                "ratio(servers=2/servers=1).tps > 1.5", "tps", ">", 1.5, pair=("servers=2", "servers=1")
            ),
        ),
    ],
)
def test_what_is_read(text: str, wanted: Threshold) -> None:
    assert thresholds.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no threshold"),
        ("p95_ms == 3", "is no threshold"),
        ("p95_ms < -3", "is no threshold"),
        ("p95_ms < 1e9", "is no threshold"),
        ("p96_ms < 3", "there is no figure 'p96_ms' here.*did you mean p9"),
        ("tps > 3%", "only failures are counted in percent"),
        ("ratio(a/b).failures < 1", "there is no figure 'failures' here"),
        ("ratio(a).tps < 1", "is no threshold"),
    ],
)
def test_what_is_not(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        thresholds.parse(text)


@pytest.mark.parametrize(
    ("operator", "holds"), [("<", (1, 0, 0)), ("<=", (1, 1, 0)), (">", (0, 0, 1)), (">=", (0, 1, 1))]
)
def test_what_passes(operator: str, holds: tuple[int, ...]) -> None:
    asked = thresholds.parse(f"tps {operator} 5")
    assert tuple(int(asked.holds(value)) for value in (4, 5, 6)) == holds


def test_an_experiment_has_them_and_says_what_is_wrong_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text(
        "factors: {servers: [1, 2]}\nthresholds: ['tps > 3', 'ratio(servers=2/servers=1).tps > 1']\n"
    )
    assert experiment.named(str(path)).thresholds == ("tps > 3", "ratio(servers=2/servers=1).tps > 1")
    path.write_text("factors: {servers: [1, 2]}\nthresholds:\n- tps\n- ratio(servers=3/servers=1).tps > 1\n")
    with pytest.raises(BadInput) as caught:
        experiment.named(str(path))
    assert [str(one).replace(f"{tmp_path}/", "") for one in caught.value.problems] == [
        "a.yml:3: 'tps' is no threshold: a figure, <, <=, > or >=, and a number, as in p95_ms < 500 or ratio(servers=2/servers=1).tps > 1.5",
        "a.yml:4: there is no arm 'servers=3': servers=1, servers=2",
    ]
