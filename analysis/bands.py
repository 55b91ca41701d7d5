"""Series of trials as series of arms: the mean over the trials of an arm, and the band in which its trials lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from analysis.series import Series

BAND = ("tps", "mtt_ms")


def by_arm(series: Series, arms: Mapping[str, str]) -> Series:
    """`arms`: by label of a trial its arm. With one trial of each, nothing changes but the labels.

    A mean is over the trials that have a value in that second; of errors, of which a trial has no row where it has none,
    over all trials that go on so long. Users and windows are those of an arm's first trial: they are planned alike.
    """
    count = pd.Series(list(arms.values())).value_counts()
    labels = [label for label in series.arms if label in arms]
    first = {
        arm: next(label for label in labels if arms[label] == arm)
        for arm in dict.fromkeys(arms[one] for one in labels)
    }
    trials = (
        series.rates.assign(of=series.rates["arm"].map(arms))
        .groupby(["of", "second"])["arm"]
        .nunique()
        .to_dict()
    )

    def mean(frame: pd.DataFrame, keys: Sequence[str], fields: Sequence[str]) -> pd.DataFrame:
        found = frame.assign(arm=frame["arm"].map(arms))
        grouped = found.groupby(["arm", *keys, "second"], sort=False, as_index=False)
        return pd.DataFrame(grouped[list(fields)].mean())

    def rate(frame: pd.DataFrame, key: str) -> pd.DataFrame:
        found = frame.assign(arm=frame["arm"].map(arms))
        summed = found.groupby(["arm", key, "second"], sort=False, as_index=False)["per_second"].sum()
        of = [
            trials.get((arm, second), 1) for arm, second in zip(summed["arm"], summed["second"], strict=True)
        ]
        return pd.DataFrame(summed.assign(per_second=summed["per_second"] / of))

    def only(frame: pd.DataFrame) -> pd.DataFrame:
        kept = frame[frame["arm"].isin(first.values())]
        return pd.DataFrame(kept.assign(arm=kept["arm"].map(arms)))

    return replace(
        series,
        arms=tuple(first),
        rates=mean(series.rates, (), BAND),
        bands=_bands(series.rates, arms) if count.max() > 1 else series.bands,
        users=only(series.users),
        errors=rate(series.errors, "error"),
        reasons=rate(series.reasons, "reason"),
        servers=mean(series.servers, ("server",), ("answered", "failed")),
        cpu=mean(series.cpu, ("server",), ("percent",)),
        holds=only(series.holds),
        times=_summed(series.times, arms),
        stops=series.stops.assign(arm=series.stops["arm"].map(arms)),
    )


def _summed(times: pd.DataFrame, arms: Mapping[str, str]) -> pd.DataFrame:
    """Counts of all trials of an arm together; shape of `Series.times`."""
    found = times.assign(arm=times["arm"].map(arms)).groupby(["arm", "ms"], sort=False, as_index=False)
    return pd.DataFrame(found[["within", "requests"]].sum())


def _bands(rates: pd.DataFrame, arms: Mapping[str, str]) -> pd.DataFrame:
    """arm, second, and of each field the least and the most of its trials; shape of `Series.bands`."""
    grouped = rates.assign(arm=rates["arm"].map(arms)).groupby(["arm", "second"], sort=False)[list(BAND)]
    low, high = (
        made.add_suffix(suffix) for made, suffix in ((grouped.min(), "_low"), (grouped.max(), "_high"))
    )
    return low.join(high).reset_index()
