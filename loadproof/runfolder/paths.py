"""Where things are in a run folder. Nothing else builds these names."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loadproof.errors import BadInput, Problem
from loadproof.runfolder import atomic, disk

LATEST = "latest"
ID = re.compile(r"\d{8}T\d{6}Z-[A-Za-z0-9][A-Za-z0-9_.-]*")
TABLES = ("requests", "proxy", "app", "cpu", "journeys")


@dataclass(frozen=True)
class TrialPaths:
    """The files of one trial."""

    path: Path

    @property
    def name(self) -> str:
        """01-servers-2."""
        return self.path.name

    @property
    def plan(self) -> Path:
        """The TrialPlan, written before anything is touched."""
        return self.path / "plan.json"

    @property
    def planned(self) -> bool:
        """Whether the plan is here, or anything that can only have come after it."""
        return self.plan.exists() or self.journal.exists() or self.raw().exists()

    @property
    def journal(self) -> Path:
        """What happened, in order."""
        return self.path / "journal.jsonl"

    @property
    def facts(self) -> Path:
        """Facts and clock offset of every host, before and after."""
        return self.path / "facts.jsonl"

    def raw(self, host: str = "") -> Path:
        """The folder of raw files, of one host or of all."""
        return self.path / "raw" / host if host else self.path / "raw"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts whose raw files are here, whole or in part."""
        folder = self.raw()
        return (
            tuple(sorted(item.name for item in folder.iterdir() if item.is_dir())) if folder.is_dir() else ()
        )


@dataclass(frozen=True)
class RunFolder:
    """One run: results/<utc time>-<name>/."""

    path: Path

    @property
    def id(self) -> str:
        """20261124T031500Z-bench."""
        return self.path.name

    @property
    def run(self) -> Path:
        """run.json."""
        return self.path / "run.json"

    @property
    def results(self) -> Path:
        """results.json."""
        return self.path / "results.json"

    @property
    def report(self) -> Path:
        """report.html."""
        return self.path / "report.html"

    def trial(self, name: str) -> TrialPaths:
        """The paths of a trial by the name of its folder (TrialPlan.folder); the folder is made."""
        path = self.path / "trials" / name
        with disk.writing(path):
            path.mkdir(parents=True, exist_ok=True)
        return TrialPaths(path)

    @property
    def trials(self) -> tuple[TrialPaths, ...]:
        """The trials that were planned, in order of their numbers: the hundredth comes last. A folder whose plan could
        not be written is none: nothing was done in it, and run.json names it if it was to be one."""
        folder = self.path / "trials"
        found = [item for item in folder.iterdir() if item.is_dir()] if folder.is_dir() else []
        return tuple(paths for path in sorted(found, key=_number) if (paths := TrialPaths(path)).planned)

    def table(self, kind: str, trial: str) -> Path:
        """tables/<kind>/<trial>.parquet."""
        return self.path / "tables" / kind / f"{trial}.parquet"

    def forget(self) -> None:
        """Remove a run that never began; `latest` points at the newest one that is left."""
        shutil.rmtree(self.path)
        latest, left = self.path.parent / LATEST, runs(self.path.parent)
        if left:
            atomic.link(latest, left[-1].path.name)
        else:
            latest.unlink(missing_ok=True)

    @staticmethod
    def create(results: Path, name: str, now: datetime, latest: bool = True) -> RunFolder:
        """Make the folder of a new run, never an existing one; with `latest` that link points at it from now on.

        Raises BadInput for a name that cannot be one, LocalDisk.
        """
        if not ID.fullmatch(f"20000101T000000Z-{name}"):
            raise BadInput([Problem(f"not a name for a run: {name!r} (letters, digits, - _ .)", "--name")])
        with disk.writing(results):
            return RunFolder._make(results, name, now, latest)

    @staticmethod
    def _make(results: Path, name: str, now: datetime, latest: bool) -> RunFolder:
        results.mkdir(parents=True, exist_ok=True)
        moment = now.astimezone(UTC)
        while True:
            path = results / f"{moment:%Y%m%dT%H%M%SZ}-{name}"
            try:
                path.mkdir()
            except FileExistsError:  # two started in one second: the ids stay apart and in order
                moment += timedelta(seconds=1)
                continue
            (path / "trials").mkdir()
            if latest:
                atomic.link(results / LATEST, path.name)
            return RunFolder(path)

    @staticmethod
    def open(results: Path, which: str = LATEST) -> RunFolder:
        """An existing run by id, by "latest" or "-1" (-2 is the one before), or by path. Raises BadInput."""
        found = runs(results)
        path = results / which
        if which in ("", LATEST) and found:
            link = results / LATEST
            path = link.resolve() if link.exists() else found[-1].path
        elif re.fullmatch(r"-\d+", which) and 0 < int(which[1:]) <= len(found):
            path = found[int(which)].path
        elif "/" in which:
            path = Path(which)
        if not path.is_dir() or not ((path / "trials").is_dir() or (path / "run.json").exists()):
            problem = Problem(f"there is no run {which or LATEST} in {results}", "--run")
            raise BadInput([problem], next="inv runs" if found else "inv bench")
        return RunFolder(path.resolve())


def _number(path: Path) -> tuple[int, str]:
    """The number of a trial's folder, and its name: others than ours have none, and come first."""
    number = path.name.partition("-")[0]
    return (int(number) if number.isdecimal() else 0), path.name


def runs(results: Path) -> tuple[RunFolder, ...]:
    """All runs, oldest first."""
    if not results.is_dir():
        return ()
    found = [item for item in results.iterdir() if ID.fullmatch(item.name) and item.is_dir()]
    return tuple(RunFolder(path) for path in sorted(found))
