"""Programs of this machine that only tests need. `inv test` installs them, after saying so; without one its tests skip."""

from __future__ import annotations

from collections.abc import Mapping

from lab import machine
from lab.config import LabConfig
from lab.root import need_root
from loadproof.errors import LabUnavailable

# Program that must be found, package that brings it.
PROGRAMS: Mapping[str, str] = {
    "nft": "nftables",  # a packet filter rule that keeps lab hosts apart
    "chromium": "chromium",  # reports are opened and looked at
}


def missing() -> tuple[str, ...]:
    """Packages whose programs are not here."""
    return tuple(package for program, package in PROGRAMS.items() if machine.found(program) is None)


def install(packages: tuple[str, ...]) -> tuple[str, ...]:
    """Install them one by one, remembered for `lab.down --purge`; gives why some could not be."""
    config, failed = LabConfig.of(), []
    for package in packages:
        try:
            need_root()
            machine.install(config, [package])
        except LabUnavailable as error:
            failed.append(error.what)
    return tuple(failed)
