"""What charts draw, and CPU, where the evidence has holes: nothing is invented."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis import drawing, report, results, series
from loadproof.runfolder import formats
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic


def drawn(folder: RunFolder) -> series.Series:
    """The series of every trial of a run."""
    return series.series([(one.label, one.judged) for one in results.judge(folder).members])


def run(base: Path, change: Callable[[synthetic.Raw], None]) -> RunFolder:
    """The trial counted by hand (window [6, 22)), changed."""
    _, raw = synthetic.one_arm(base / "before")
    change(raw)
    return synthetic.write_run(base / "after", [raw])


def unsampled(begin: float, end: float) -> Callable[[synthetic.Raw], None]:
    """app1 without samples in (begin, end)."""

    def change(raw: synthetic.Raw) -> None:
        low, high = raw.us("app1", begin), raw.us("app1", end)
        raw.samples["app1"] = [one for one in raw.samples["app1"] if not low < one["realtime_us"] < high]

    return change


def test_no_chart_of_part_of_the_workers(copy: RunFolder) -> None:
    (copy.trials[0].raw("load1") / "requests-1.rows").unlink()
    found = drawn(copy)
    assert found.arms == ("servers=2",)
    assert set(found.rates["arm"]) == set(found.users["arm"]) == {"servers=2"}


@pytest.mark.parametrize(
    ("begin", "end", "cpu_s", "note"),
    [
        (9.0, 11.0, 0.8, ""),
        (9.0, 12.5, 0.8, "a gap of 3.5 s in the window"),
        (5.0, 7.5, None, "a gap at an edge of the window"),
        (19.0, 23.0, None, "a gap at an edge of the window"),
        (-9.0, 7.0, None, "do not reach over the window"),
    ],
)
def test_gaps_in_samples(tmp_path: Path, begin: float, end: float, cpu_s: float | None, note: str) -> None:
    folder = run(tmp_path, unsampled(begin, end))
    made = results.analyse(folder.path)
    arm = made["arms"][0]
    assert arm["servers"][0]["cpu_s"] == (None if cpu_s is None else pytest.approx(cpu_s))
    assert (arm["servers"][0]["cpu_percent"] is None) == (arm["efficiency"] is None) == (cpu_s is None)
    assert len(made["incomplete"]) == bool(note) and note in "".join(made["incomplete"])


def test_no_chart_of_cpu_across_a_gap(tmp_path: Path) -> None:
    found = drawn(run(tmp_path, unsampled(9.0, 12.5)))
    assert set(found.cpu["second"]) == {index + 0.5 for index in range(22)}
    assert set(found.cpu["second"][found.cpu["percent"].isna()]) == {9.5, 10.5, 11.5, 12.5}


def test_an_app_that_no_sample_saw_has_no_cpu(tmp_path: Path) -> None:
    def unseen(raw: synthetic.Raw) -> None:
        text = json.dumps(raw.samples["app1"]).replace("loadproof-app.service", "")
        raw.samples["app1"] = json.loads(text)

    folder = run(tmp_path, unseen)
    made = results.analyse(folder.path)
    arm = made["arms"][0]
    assert arm["servers"][0]["cpu_s"] is arm["servers"][0]["cpu_percent"] is arm["efficiency"] is None
    assert made["incomplete"] == [
        "01-servers-1: app1: no process of the app in any sample of the window; its CPU is unknown"
    ]
    assert drawn(folder).cpu.empty


@pytest.mark.parametrize(("ends", "told"), [(1, False), (2, True), (9, True)])
def test_cpu_that_nobody_saw_is_told_when_there_may_be_much(tmp_path: Path, ends: int, told: bool) -> None:
    """Processes of the app end between two samples: up to 0.5 s of each is not seen, of a window of 16 s."""

    def ending(raw: synthetic.Raw) -> None:
        for tick in raw.samples["app1"]:
            at = (tick["realtime_us"] - raw.us("app1", 0)) / 1e6
            age = max(0, min(ends, int(at - 7)))  # a new one at 8, 9, … s
            for one in tick["processes"]:
                if one["unit"] == "loadproof-app.service":
                    one["pid"], one["start"] = one["pid"] + age, one["start"] + 100 * age

    made = results.analyse(run(tmp_path, ending).path)
    expected = f"01-servers-1: app1: {ends} processes of the app ended in the window; what they used after their last sample, up to 0.5 s each, is not in its CPU"
    assert made["incomplete"] == ([expected] if told else [])


@pytest.mark.parametrize(("end", "bins"), [(22.0, 22), (21.96, 22), (21.6, 21), (21.4, 21)])
def test_no_bin_of_part_of_a_second(tmp_path: Path, end: float, bins: int) -> None:
    """A user stops there, which ends the window and what is drawn."""
    folder = run(tmp_path, lambda raw: raw.user(2, 5, end, formats.KIND_USER_STOPPED))
    found = drawn(folder)
    assert len(found.rates) == bins and found.rates["second"].max() == bins - 0.5


def test_an_arm_shorter_than_a_bin_draws_nothing(tmp_path: Path) -> None:
    """Bins of 2 s, because another arm is long."""
    member = results.judge(synthetic.one_arm(tmp_path)[0]).members[0]
    hold = member.judged.hold
    assert hold is not None
    blink = dataclasses.replace(hold, to_us=hold.zero_us + 1_500_000)
    long = dataclasses.replace(hold, to_us=hold.zero_us + 400_000_000)
    arms = [
        (name, dataclasses.replace(member.judged, hold=one))
        for name, one in (("blink", blink), ("long", long))
    ]
    found = series.series(arms)
    assert found.width_s == 2 and set(found.rates["arm"]) == {"long"}


def test_many_servers_over_a_long_time_are_drawn(copy: RunFolder) -> None:
    """9 servers x 600 s: more rows than Altair takes by itself."""
    few = drawn(copy)
    rows = [("servers=9", f"app{host}", second + 0.5, 5.0) for host in range(9) for second in range(600)]
    many = dataclasses.replace(few, cpu=pd.DataFrame(rows, columns=list(few.cpu.columns)))
    (cpu,) = [one for one in drawing.draw(many) if one.name == "cpu"]
    assert cpu.svg.startswith("<svg") and cpu.vega


def test_a_picture_of_an_earlier_analysis_does_not_stay(copy: RunFolder) -> None:
    report.render(copy.path)
    kept = {path.name for path in (copy.path / "charts").iterdir()}
    assert {"tps.svg", "tps.png", "mtt.svg", "mtt.png"} < kept
    (copy.path / "charts" / "old.svg").write_text("<svg/>")
    for paths in copy.trials:  # nobody knows what the clients saw: nothing is left to draw of them
        (paths.raw("load1") / "requests-1.rows").unlink()
    report.render(copy.path)
    assert list((copy.path / "charts").iterdir()) == []
