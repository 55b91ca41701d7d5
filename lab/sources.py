"""Where the image's packages come from: the machine's own apt sources, for its own suite or a neighbour's. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from loadproof.errors import BadInput, LabUnavailable, Problem

# Suites that one machine can build images of, by ID of os-release; oldest first.
SUITES: Mapping[str, tuple[str, ...]] = {
    "debian": ("bookworm", "trixie"),
    "ubuntu": ("noble",),
}
# Suites whose python3 is older than the 3.11 that deploy needs on a host.
TOO_OLD: Mapping[str, tuple[str, ...]] = {
    "debian": ("stretch", "buster", "bullseye"),
    "ubuntu": ("bionic", "focal", "jammy", "kinetic"),
}
POCKETS = ("", "-updates", "-security")  # backports and proposed are nobody's default
ALIASES = ("stable", "oldstable")  # may stand in a machine's sources for its own codename
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "debian": ("main",),
    "ubuntu": ("main", "universe"),  # nginx-light and cpulimit are in universe
}
ONE_LINE = re.compile(r"^(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)\s*$")
APT_OPTION = re.compile(
    r"^(Acquire::(?:https?::(?:Proxy|CaInfo|Verify)[\w:.-]*|Check-Valid-Until|Check-Date|ForceIPv[46]|Retries)) "
    r'"(.*)";$'
)


@dataclass(frozen=True)
class OsRelease:
    """What a machine runs: id "debian", codename "bookworm"."""

    id: str
    codename: str
    pretty: str


@dataclass(frozen=True)
class Source:
    """One archive of packages, as apt's one-line form has it."""

    uri: str
    suite: str
    components: tuple[str, ...]
    options: tuple[str, ...] = ()  # "signed-by=/usr/share/keyrings/…"

    def line(self) -> str:
        """apt's one-line form."""
        options = f"[{' '.join(self.options)}] " if self.options else ""
        return f"deb {options}{self.uri} {self.suite} {' '.join(self.components)}"


def read_os_release(text: str) -> OsRelease:
    """ID, codename and name out of /etc/os-release. Raises LabUnavailable for systems the lab does not know."""
    pairs = dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', text, flags=re.MULTILINE))
    found = OsRelease(
        pairs.get("ID", ""), pairs.get("VERSION_CODENAME", ""), pairs.get("PRETTY_NAME", "an unnamed system")
    )
    if found.id not in SUITES or not found.codename:
        raise LabUnavailable(
            f"this machine runs {found.pretty}: the lab can be made on Debian and Ubuntu only",
            where="this machine",
            kept="nothing was touched",
            next="inv deploy -i inventory/hosts.yml, with your own hosts",
        )
    return found


def suite_for(machine: OsRelease, asked: str | None) -> str:
    """The suite of the lab's hosts: the machine's own unless another was asked. Raises BadInput, LabUnavailable."""
    known = SUITES[machine.id]
    suite = asked or machine.codename
    if suite == machine.codename and suite in TOO_OLD[machine.id]:
        raise LabUnavailable(
            f"lab hosts with {machine.pretty} would have a python3 older than the 3.11 that hosts need",
            where="this machine",
            kept="nothing was touched",
            next=f"LOADPROOF_LAB_SUITE={known[0]} and the same command: the lab's hosts run {known[0]} then; "
            "or your own hosts: inv deploy -i inventory/hosts.yml",
        )
    if suite != machine.codename and suite not in known:
        raise BadInput(
            [
                Problem(
                    f"{suite!r}: from {machine.pretty} it can be {' or '.join(known)}", "LOADPROOF_LAB_SUITE"
                )
            ]
        )
    return suite


def derive(machine: OsRelease, suite: str, texts: Iterable[tuple[str, str]]) -> tuple[Source, ...]:
    """Sources of `suite` out of the machine's own, given as (file name, text).

    Only the distribution's own archives are taken (its suites, its components, its keys where any says so);
    the other suite's are the same with the name changed. Raises LabUnavailable when none is left.
    """
    found = [source for name, text in texts for source in parse(name, text)]
    own = [renamed for source in found if (renamed := rename(source, machine, suite)) is not None]
    signed = [source for source in own if distribution_key(source, machine)]
    taken = tuple(dict.fromkeys(signed or own))
    if not any(source.suite == suite for source in taken):
        raise LabUnavailable(
            f"no apt source of this machine offers {machine.codename} {COMPONENTS[machine.id][0]}",
            where="/etc/apt",
            kept="nothing was touched",
            next="add the distribution's sources to /etc/apt, then inv lab.up",
        )
    return taken


def parse(name: str, text: str) -> list[Source]:
    """The binary sources of one file: deb822 when its name ends in .sources, else one-line form."""
    return parse_deb822(text) if name.endswith(".sources") else parse_one_line(text)


def parse_one_line(text: str) -> list[Source]:
    """Sources of a sources.list."""
    found = []
    for line in text.splitlines():
        match = ONE_LINE.match(line.split("#", 1)[0].strip())
        if match and match[1] == "deb":
            found.append(Source(match[3], match[4], tuple(match[5].split()), tuple((match[2] or "").split())))
    return found


def parse_deb822(text: str) -> list[Source]:
    """Sources of a .sources file: one per address and suite of each enabled stanza."""
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields = read_stanza(stanza)
        if fields.get("enabled", "yes").lower() == "no" or "deb" not in fields.get("types", "").split():
            continue
        key = fields.get("signed-by", "")
        # A key written into the stanza has no one-line form; the keyring package's then has to do.
        options = (f"signed-by={','.join(key.split())}",) if key.startswith("/") else ()
        if fields.get("trusted", "").lower() == "yes":
            options = (*options, "trusted=yes")
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                found.append(Source(uri, suite, tuple(fields.get("components", "").split()), options))
    return found


def read_stanza(stanza: str) -> dict[str, str]:
    """Fields of a deb822 stanza, names in lower case, continuation lines joined."""
    fields: dict[str, str] = {}
    last = ""
    for line in stanza.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line[0] in " \t":
            fields[last] = f"{fields.get(last, '')} {line.strip()}".strip()
        elif ":" in line:
            last, value = line.split(":", 1)
            last = last.strip().lower()
            fields[last] = value.strip()
    return fields


def rename(source: Source, machine: OsRelease, suite: str) -> Source | None:
    """The same archive for `suite`; None when it is not one of the distribution's own."""
    wanted = COMPONENTS[machine.id]
    for base in (machine.codename, *ALIASES):
        for pocket in POCKETS:
            if source.suite == base + pocket and wanted[0] in source.components:
                return replace(source, suite=suite + pocket, components=wanted)
    return None


def distribution_key(source: Source, machine: OsRelease) -> bool:
    """Whether a source is signed by the distribution's keyring, or by apt's default keys."""
    keys = [option for option in source.options if option.startswith("signed-by=")]
    return not keys or any(f"{machine.id}-archive" in key for key in keys)


def apt_options(dump: str) -> tuple[str, ...]:
    """What of `apt-config dump` the image's own apt needs too: proxies, certificates, clock checks."""
    matches = (APT_OPTION.match(line) for line in dump.splitlines())
    return tuple(f'{match[1]} "{match[2]}";' for match in matches if match and match[2])
