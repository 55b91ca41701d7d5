"""Words about runs that were made: fetched, analysed, told, compared."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from words import places
from words.given import RUN_HELP
from words.places import lab_that_lives
from words.talk import dumped, finish, give, say
from words.word import word


@word(help=RUN_HELP)
def fetch_results(context: Context, run: str = "", json: bool = False) -> None:
    """Bring sealed results and logs of a run back from every host, verify them, and analyse them."""
    from loadproof.campaign import collect, state
    from loadproof.runfolder.paths import RunFolder

    folder = RunFolder.open(places.RESULTS, run or "latest")
    hosts = state.hosts_of_run(folder)
    say(f"run: {folder.id}, hosts: {', '.join(host.name for host in hosts.hosts)}")
    with lab_that_lives(hosts):
        results, report = collect.fetch_and_analyse(folder, hosts, say)
    finish(results, report, json)


@word(iterable=["run"], help={**RUN_HELP, "run": RUN_HELP["run"] + "; give it again for runs side by side"})
def report(context: Context, run: Any = None, json: bool = False) -> None:
    """Analyse a run's folder again and render its report; several runs side by side, in a new folder."""
    from loadproof.campaign import collect
    from loadproof.runfolder.paths import RunFolder

    folders = [RunFolder.open(places.RESULTS, name) for name in run or ["latest"]]
    results, path = collect.analyse(folders, places.RESULTS)
    finish(results, path, json)


@word(iterable=["run"], help={**RUN_HELP, "run": RUN_HELP["run"] + "; give it again for runs side by side"})
def analyse(context: Context, run: Any = None, json: bool = False) -> None:
    """Rebuild tables, results.json and report from the raw files of a run's folder alone, whatever was made of them before."""
    from loadproof.campaign import collect
    from loadproof.runfolder.paths import RunFolder

    folders = [RunFolder.open(places.RESULTS, name) for name in run or ["latest"]]
    results, path = collect.analyse(folders, places.RESULTS, rebuild=True)
    finish(results, path, json)


@word(
    iterable=["run"],
    help={"run": RUN_HELP["run"] + "; give it again for several", "json": "print it as JSON"},
)
def variance(context: Context, run: Any = None, json: bool = False) -> None:
    """Tell where the spread of trials comes from, and which hold and how many pairs would see 5, 10 and 20 %."""
    from loadproof.campaign import collect
    from loadproof.console import variance as show
    from loadproof.runfolder.paths import RunFolder

    found = collect.spread([RunFolder.open(places.RESULTS, name) for name in run or ["latest"]])
    give(dumped(found) if json else show.variance(found))


@word(help={"run": RUN_HELP["run"]})
def share(context: Context, run: str = "") -> None:
    """One picture and one paragraph of a run that was analysed: question, answer, interval, verdict, hosts, commit."""
    from loadproof.campaign import collect
    from loadproof.runfolder.paths import RunFolder

    picture, text = collect.share(RunFolder.open(places.RESULTS, run or "latest"))
    give(text.rstrip())
    say(f"\npicture: {picture}\ntext:    {picture.with_name('share.md')}")


@word(
    positional=["first", "second"],
    help={"first": "a run", "second": "another one", "json": "print it as JSON"},
)
def compare(context: Context, first: str, second: str, json: bool = False) -> None:
    """Two runs against each other: what came out differently, beside what was different about them."""
    from loadproof.campaign import collect
    from loadproof.console import against as show
    from loadproof.runfolder.paths import RunFolder

    found = collect.against(RunFolder.open(places.RESULTS, first), RunFolder.open(places.RESULTS, second))
    give(dumped(found) if json else show.against(found))


@word(
    help={
        "run": "a run's id, its folder, latest, or -1 for the newest folder",
        "id": "of a request: 16 hex digits, or worker:number",
        "trial": "only this trial, 02 for example (default: every one that has the id)",
        "json": "print it as JSON",
    }
)
def journey(context: Context, run: str, id: str, trial: str = "", json: bool = False) -> None:
    """Tell what became of one request: when each of client, nginx and app saw it, how it ended, and why."""
    from analysis import journey as journeys
    from loadproof.console import journey as show
    from loadproof.runfolder.paths import RunFolder
    from loadproof.runfolder.record import to_json

    told = journeys.tell(RunFolder.open(places.RESULTS, run), journeys.number(id), trial)
    give(dumped(to_json(told)) if json else show.journey(told))


@word()
def runs(context: Context) -> None:
    """List the runs of this clone, newest last."""
    from loadproof.campaign import state
    from loadproof.console import summary

    give(summary.runs(state.listing(places.RESULTS)))
