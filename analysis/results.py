"""results.json, format 1: the arms of a run with their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis import bending, calibration, capacity, compare, joined, sentences, thresholds, verdicts
from analysis import trial as trials
from analysis.measures import spikes as spiking
from analysis.rows import Damaged
from analysis.trial import Judged
from loadproof.errors import RecordUnreadable
from loadproof.plan.values import Experiment, Inventory
from loadproof.runfolder import atomic, record
from loadproof.runfolder.formats import RESULTS_FORMAT
from loadproof.runfolder.paths import RunFolder, TrialPaths

SEE_NOTES = "the notes say why"


@dataclass(frozen=True)
class Member:
    """One trial of a report, the run it belongs to, and the label of its arm."""

    run: RunFolder
    judged: Judged
    label: str


@dataclass(frozen=True)
class Judgement:
    """Everything judged of one run, or of several side by side, and results.json as a value. `members` are the trials that
    measured something; calibration trials only tell what their limits were set to."""

    folder: RunFolder
    sources: tuple[RunFolder, ...]
    members: tuple[Member, ...]
    results: dict[str, Any]


def analyse(run: Path, rebuild: bool = False) -> dict[str, Any]:
    """Writes tables/ and results.json of a run folder, and gives results.json as a value. A folder that joins several
    runs reads theirs and writes only its own. Raises RecordUnreadable when there is no plan that can be read."""
    return judge(RunFolder(Path(run)), rebuild).results


def judge(folder: RunFolder, rebuild: bool = False) -> Judgement:
    """The same, with the tables at hand."""
    judgement = look(folder, rebuild)
    atomic.write_json(folder.results, judgement.results)
    return judgement


def look(folder: RunFolder, rebuild: bool = False) -> Judgement:
    """The same, and results.json stays as it is."""
    sources = sources_of(folder)
    members: list[Member] = []
    said: list[str] = []
    for source in sources:
        found, notes = _members(source, folder, len(sources) > 1, rebuild)
        members += found
        said += notes
    if not members:
        raise RecordUnreadable(
            "no trial with a plan that can be read",
            where=str(folder.path),
            kept=str(folder.path),
            next="inv runs",
        )
    results = build(folder.id, members, sources, said)
    return Judgement(folder, sources, tuple(_arms_of(members)), results)


def again(judgement: Judgement) -> Judgement:
    """The same, when a table of journeys turned out to be damaged: they are made again."""
    for member in judgement.members:
        member.judged.journeys.unlink(missing_ok=True)
    return judge(judgement.folder)


def _arms_of(members: Sequence[Member]) -> list[Member]:
    """Of the trials that measured something: a calibration and a search only say what others are run with."""
    return [one for one in members if one.judged.plan.purpose in ("measure", "verify")]


def sources_of(folder: RunFolder) -> tuple[RunFolder, ...]:
    """The runs that a folder speaks of: itself, or those named in run.json (they are its neighbours)."""
    try:
        names = record.read_run(folder).sources
    except RecordUnreadable:
        return (folder,)
    if not names:
        return (folder,)
    return tuple(
        RunFolder(Path(name) if Path(name).is_absolute() else folder.path.parent / name) for name in names
    )


def _members(
    source: RunFolder, into: RunFolder, several: bool, rebuild: bool
) -> tuple[list[Member], list[str]]:
    inventory, planned, said = _recorded(source)
    here = {paths.name for paths in source.trials}
    if not here:
        said = [f"{source.id}: holds no trial any more: its arms are missing"]
    else:
        said += [
            f"{source.id} {name}: its folder is missing; nothing of it is here"
            for name in planned
            if name not in here
        ]
    found = []
    for paths in source.trials:
        try:
            plan = record.read_plan(paths.plan)
        except RecordUnreadable as error:
            said.append(f"{source.id} {paths.name}: {error.what}")
            continue

        def where(kind: str, paths: TrialPaths = paths) -> Path:
            return into.table(kind, f"{source.id}.{paths.name}" if several or into != source else paths.name)

        try:
            judged = trials.judge(paths, plan, inventory, where, rebuild)
        except Damaged:  # a table that could be opened, and not be read to its end
            judged = trials.judge(paths, plan, inventory, where, rebuild=True)
        said += [f"{f'{source.id} ' if several else ''}{paths.name}: {note}" for note in judged.incomplete]
        found.append(Member(source, judged, plan.arm))
    return found, said


def _recorded(folder: RunFolder) -> tuple[Inventory | None, tuple[str, ...], list[str]]:
    """The inventory of a run and the folders of its trials; or why they are unknown."""
    try:
        found = record.read_run(folder)
        return found.inventory, found.trials, []
    except RecordUnreadable as error:
        return None, (), [f"{folder.id}: {error.what}; addresses of hosts are unknown"]


def build(
    run: str, members: Sequence[Member], sources: Sequence[RunFolder], said: Sequence[str]
) -> dict[str, Any]:
    """results.json as a value. Arms keep the order of their first trial; the arms of different runs stay apart."""
    arms: dict[tuple[str, str], list[Member]] = {}
    calibrations = _calibrations(members, sources)
    said = [*said, *_unfinished(members, calibrations)]
    for member in _arms_of(members):
        arms.setdefault((member.run.id, member.label), []).append(member)
    several = len(sources) > 1
    short = _short_names([source.id for source in sources])
    asked = _asked(sources)
    # trials are run in an order drawn by chance; arms stand, and are divided by, in the order of the experiment
    order, searched = asked.pop("arms"), _searched(asked.pop("search"), members)
    arms = dict(
        sorted(arms.items(), key=lambda item: order.index(item[0][1]) if item[0][1] in order else len(order))
    )
    seen = _spikes(_arms_of(members))
    made = [
        _arm(f"{label} ({short[name]})" if several else label, joined, seen)
        for (name, label), joined in arms.items()
    ]
    results: dict[str, Any] = {"format": RESULTS_FORMAT, "run": run}
    if several or (sources and sources[0].id != run):
        results["sources"] = [source.id for source in sources]
    told = capacity.sentences(searched) if searched else []
    told += [sentence for one in calibrations for sentence in calibration.sentences(one)]
    results |= {"calibrations": calibrations} if calibrations else {}
    results |= {"capacity": searched} if searched else {}
    results |= verdicts.of_run(made, asked.pop("planned"))
    forbidden = SEE_NOTES if sentences.against(made) else ""
    # arms of different runs, and loads of a search, were not run in blocks with each other
    apart = several or searched is not None
    compared = [] if apart else compare.comparisons(asked["primary"], made, forbidden)
    jolts = [] if apart else compare.spikes(made, forbidden)
    failing = [] if apart else compare.failures(made, forbidden)
    levels = [] if apart else compare.levels(made, forbidden)
    told += sentences.sentences(made, compared, jolts, failing)
    wanted = asked.pop("thresholds")
    results |= {
        **asked,
        "comparisons": compared,
        "spikes": jolts,
        "failures": failing,
        "levels": levels,
        "thresholds": thresholds.judged(wanted, made, forbidden),
        "arms": made,
    }
    return {**results, "sentences": [list(one) for one in told], "incomplete": list(said)}


def _asked(sources: Sequence[RunFolder]) -> dict[str, Any]:
    """ "question", "primary", "thresholds", the labels of "arms", the experiment if it is a "search", and by run how many
    arms and blocks were "planned"; of several runs side by side there is no question."""
    experiments = {source.id: known for source in sources if (known := _experiment(source)) is not None}
    # the trials of a search follow from each other
    blocks = {run: (len(one.arms), one.blocks) for run, one in experiments.items() if one.capacity is None}
    if len(sources) == 1 and experiments:
        (known,) = experiments.values()
        return {
            "question": known.question,
            "primary": known.primary,
            "thresholds": known.thresholds,
            "arms": [arm.label for arm in known.arms],
            "search": known if known.capacity else None,
            "planned": blocks,
        }
    return {
        "question": "", "primary": "tps", "thresholds": (), "arms": [], "search": None, "planned": blocks,
    }  # fmt: skip


def _experiment(source: RunFolder) -> Experiment | None:
    try:
        return record.read_run(source).experiment
    except RecordUnreadable:
        return None


def _searched(experiment: Experiment | None, members: Sequence[Member]) -> dict[str, Any] | None:
    """What a search for a capacity found; None for another experiment. A trial that was planned and never ran says
    nothing: the search was left there."""
    if experiment is None or experiment.capacity is None:
        return None
    hold_s = experiment.arms[0].load.hold_s
    ran = [one.judged for one in members if one.run.trial(one.judged.plan.folder).hosts]
    return capacity.summed(experiment.capacity, hold_s, ran)


def _calibrations(members: Sequence[Member], sources: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """What was calibrated, one entry per run that did."""
    trials = {
        source.id: [
            one.judged
            for one in members
            if one.run.id == source.id and one.judged.plan.purpose == "calibration"
        ]
        for source in sources
    }
    return [calibration.summed(run, found) for run, found in trials.items() if found]


def _unfinished(members: Sequence[Member], calibrations: Sequence[Mapping[str, Any]]) -> list[str]:
    measured = {one.run.id for one in _arms_of(members)}
    return [
        f"{one['run']}: only calibration trials are here; the trials that were to be measured never ran"
        for one in calibrations
        if one["run"] not in measured
    ]


def _short_names(runs: Sequence[str]) -> dict[str, str]:
    """What runs are called in labels: the name after the time in their ids, where that tells them apart."""
    names = [run.partition("Z-")[2] or run for run in runs]
    return dict(zip(runs, names if len(set(names)) == len(runs) else runs, strict=True))


def _spikes(members: Sequence[Member]) -> dict[tuple[str, str], dict[str, Any] | None]:
    """The spikes of every trial, by run and trial, with one threshold for all of them."""
    means = {
        (one.run.id, one.judged.plan.id): spiking.means(one.judged.timeline, one.judged.hold)
        for one in members
        if one.judged.hold is not None
    }
    threshold = spiking.common(list(means.values()))
    found = {key: spiking.spikes(seconds, threshold) for key, seconds in means.items()}
    return {key: None if one is None else asdict(one) for key, one in found.items()}


def _arm(
    label: str, members: Sequence[Member], spikes: Mapping[tuple[str, str], dict[str, Any] | None]
) -> dict[str, Any]:
    """Figures of an arm are those of its only trial, or of its VALID trials together."""
    listed = [
        {
            "id": one.judged.plan.id,
            "block": one.judged.plan.block,
            "because": one.judged.plan.because,
            "run": one.run.id,
            **verdicts.of_trial(one.judged.checks),
            **one.judged.figures,
            **bending.of_trial(one.judged.ramp),
            "spikes": spikes.get((one.run.id, one.judged.plan.id)),
            "incomplete": list(one.judged.incomplete),
        }
        for one in members
    ]
    figures = members[0].judged.figures if len(members) == 1 else joined.figures(listed)
    plan = members[0].judged.plan
    made_with = {"factors": dict(plan.factors), "setup": sentences.setup(plan)}
    ramps = {one.judged.plan.id: one.judged.ramp for one in members}
    bent = bending.of_arm({one["block"]: ramps[one["id"]] for one in joined.trusted(listed)})
    users = compare.breaks(bent["knee"])
    counting = {one["id"]: users.get(one["block"]) for one in joined.trusted(listed)}
    listed = [one | {"knee_users": counting.get(one["id"])} for one in listed]
    judged = verdicts.joined([(one["id"], one) for one in joined.counted(listed)])
    return {
        "label": label, **judged, **made_with, **figures, "spikes": joined.spikes(listed), **bent, "trials": listed,
    }  # fmt: skip
