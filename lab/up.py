"""Bringing the lab up: whatever is missing is made, whatever is half-made is repaired, what stands is left alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lab import hosts, image, listing, machine, network, processes
from lab.answer import Answer, ask_all
from lab.config import MOST_APP, MOST_LOAD, LabConfig, LabHost, LabState, wanted
from lab.owner import claim, is_ours, left_behind, read_owner, refuse_foreign
from lab.record import Record, locked, read_record, write_record, write_text
from lab.root import need_root
from lab.status import lack, settled, state_of
from loadproof.errors import LabUnavailable

Say = Callable[[str], None]
HOST_MB = 60  # what a host writes by booting and being deployed to, without trees
BOOT_TYPICAL_S = 3.0
PACKAGES_TYPICAL_S = 30.0


@dataclass(frozen=True)
class Needs:
    """What `up` would install and make. Times are typical, not limits."""

    left: str = ""  # another clone's lab of which only bridge and record are left, in words
    packages: tuple[str, ...] = ()
    image: str = ""  # "" when it is there
    hosts: tuple[str, ...] = ()  # to be made or started
    all_hosts: tuple[LabHost, ...] = ()  # that the lab will have
    bridge: str = ""  # "lp-br0 (198.18.77.0/24)"
    disk_mb: int = 0
    seconds: float = 0.0

    def lines(self) -> tuple[str, ...]:
        """For a person, before the first change; empty when nothing is needed."""
        lines = [
            f"clear the bridge of a lab none of whose hosts runs: {self.left}" if self.left else "",
            f"install packages: {' '.join(self.packages)}" if self.packages else "",
            f"build image: {self.image}" if self.image else "",
            f"make bridge: {self.bridge}, without a route out" if self.bridge else "",
            f"make or start hosts: {', '.join(self.hosts)}" if self.hosts else "",
            f"disk: about {self.disk_mb} MB" if self.disk_mb else "",
            f"time: about {self.seconds:.0f} s" if self.seconds else "",
        ]
        return tuple(line for line in lines if line)


def silent(text: str) -> None:
    """Say nothing."""


def needed(app: int | None = None, load: int | None = None, config: LabConfig | None = None) -> Needs:
    """What `up` with the same words would install and make; changes nothing, needs no root. Raises as `up` does."""
    config = config or LabConfig.of()
    refuse_foreign(config)
    record = remembered(config)
    config = settled(config, record)
    wants = wanted(record.hosts, app, load, config.net)
    suite = image.suite_of(config)
    packages = machine.missing()
    name = image_for(config, record, suite)
    build = "" if image.complete(config, name) else name
    make = tuple(host.name for host in wants if host not in record.hosts or lack(config, host))
    new = len(wants) - sum(processes.folder(config, host).exists() for host in wants)
    seconds = (
        PACKAGES_TYPICAL_S * bool(packages) + image.TYPICAL_S * bool(build) + BOOT_TYPICAL_S * bool(make)
    )
    left = left_behind(config)
    return Needs(
        str(left or ""),
        packages,
        build,
        make,
        wants,
        "" if network.exists(config.bridge) and not left else f"{config.bridge} ({config.net})",
        image.NEEDED_MB * bool(build) + HOST_MB * new,
        seconds,
    )


def up(
    app: int | None = None, load: int | None = None, say: Say = silent, config: LabConfig | None = None
) -> LabState:
    """Bring the lab up with `app` and `load` hosts (None: what exists, else 2 and 1) and one proxy.

    Comes back when every host answers on ssh, runs systemd and reaches the others, and inventory/lab.yml says so.
    `say` hears what is done. Raises BadInput (numbers), Refused (another's lab, fewer hosts than exist),
    LabUnavailable (root, packages, disk, net, hosts that do not come up).
    """
    config = config or LabConfig.of()
    refuse_foreign(config)
    with locked(config):
        record = remembered(config)
        config = settled(config, record)
        wants = wanted(record.hosts, app, load, config.net)
        whole = wants == read_record(config).hosts and has_key(config) and is_ours(config, read_owner(config))
        if whole and not any(lack(config, host) for host in wants):
            answers = ask_all(config, wants, config.patience_s)
            if not any(answer.trouble for answer in answers) and listing.matches(config, wants):
                return state_of(config, record, answers)
        return repair(config, record, wants, say)


def repair(config: LabConfig, record: Record, wants: tuple[LabHost, ...], say: Say) -> LabState:
    """Make what is missing, in an order in which each cut can be taken up again."""
    changed: list[str] = []

    def did(text: str) -> None:
        changed.append(text)
        say(text)

    suite = image.suite_of(config)
    network.check_route(config)
    need_root()
    if packages := machine.missing():
        did(f"installed {' '.join(machine.install(config, packages))}")
    name = image.build(config, suite, did) if not image.complete(config, record.image) else record.image
    if not has_key(config):
        make_lab_key(config)
        for host in filter(lambda host: processes.mounted(config, host), record.hosts):
            hosts.admit(config, host)
        did("made a key of the lab's own")
    for text in claim(config):
        did(text)
    if record.hosts and name != record.image:
        did("the image of the hosts is gone: they are made anew")
        discard(config, record.hosts)
    record = replace(record, suite=suite, image=name, bridge=config.bridge, net=str(config.net), hosts=wants)
    write_record(config, record)
    listing_before = listing.matches(config, wants)
    if not network.standing(config):
        network.make(config)
        did(f"made bridge {config.bridge}")
    record = replace(
        machine.raise_inotify(record, len(wants)), network_manager=network.keep_manager_off(config)
    )
    write_record(config, record)
    answers = bring(config, record, did)
    if not listing_before:
        did(f"wrote {config.inventory}")
    return state_of(config, record, answers, changed)


def remembered(config: LabConfig) -> Record:
    """The record; where that is lost, what the folders of the hosts tell."""
    record = read_record(config)
    if record.hosts or not config.hosts.is_dir():
        return record
    lower = {path.name: path / "lower" for path in config.hosts.iterdir()}
    every = wanted((), MOST_APP, MOST_LOAD, config.net)
    found = tuple(host for host in every if host.name in lower and lower[host.name].is_symlink())
    if not found:
        return record
    image_name = lower[found[0].name].readlink().parent.name  # as image.root_of has it
    suite = image.suite_of(config)
    return replace(record, suite=suite, image=image_name, net=str(config.net), hosts=found)


def has_key(config: LabConfig) -> bool:
    """Whether both halves of the lab's own key are there."""
    return config.key.exists() and config.key.with_suffix(".pub").exists()


def image_for(config: LabConfig, record: Record, suite: str) -> str:
    """The image that hosts are made from: the one that existing hosts have, else that of the recipe."""
    return record.image if record.image and image.complete(config, record.image) else image.recipe(suite)


def make_lab_key(config: LabConfig) -> None:
    """The lab's own key, the caller's file."""
    config.key.parent.mkdir(parents=True, exist_ok=True)
    config.key.parent.chmod(0o700)
    for half in (config.key, config.key.with_suffix(".pub")):
        half.unlink(missing_ok=True)
    hosts.make_key(config.key, "loadproof-lab")


def discard(config: LabConfig, gone: Sequence[LabHost]) -> None:
    """Stop hosts and remove all they wrote."""
    hosts.stop(config, gone)
    for host in gone:
        image.remove(config, processes.folder(config, host))


def bring(config: LabConfig, record: Record, did: Say) -> list[Answer]:
    """Start what does not run, ask all, restart once what does not answer; then write the inventory.

    Raises LabUnavailable with the first host's trouble when they do not all answer.
    """
    fresh = start(config, record, [host for host in record.hosts if faulty(config, host, did)], did)
    if write_known_hosts(config, record):
        did(f"wrote {config.known_hosts}")
    answers = ask(config, record.hosts, fresh)
    silent_hosts = [answer.host for answer in answers if poor(answer, fresh)]
    if silent_hosts:
        listing.remove(config)
        did(f"{', '.join(host.name for host in silent_hosts)}: no answer, started again")
        hosts.stop(config, silent_hosts)
        fresh |= start(config, record, silent_hosts, did)
        write_known_hosts(config, record)
        answers = ask(config, record.hosts, fresh)
    for answer in answers:
        if answer.trouble or (answer.host in fresh and answer.system != "running"):
            listing.remove(config)
            raise trouble(config, answer)
    if not listing.matches(config, record.hosts):
        listing.write(config, record.hosts)
    return answers


def faulty(config: LabConfig, host: LabHost, did: Say) -> bool:
    """Whether a host has to be started; one that is only unplugged is plugged in again."""
    if processes.process(config, host) is None or not processes.mounted(config, host):
        return True
    if not hosts.running_cable(config, host):
        return True
    if not network.plugged(config, host):
        network.plug(config, [host])
        did(f"plugged {host.name} into {config.bridge}")
    return False


def start(config: LabConfig, record: Record, missing: Sequence[LabHost], did: Say) -> set[LabHost]:
    """Make and boot hosts side by side; gives those that were made anew or booted now."""
    if not missing:
        return set()
    listing.remove(config)
    hosts.stop(config, [host for host in missing if processes.folder(config, host).exists()])

    def one(host: LabHost) -> bool:
        public, new = hosts.prepare(config, host, record.image)
        write_text(processes.folder(config, host) / "host_key.pub", public + "\n")
        hosts.boot(config, host)
        return new

    new = hosts.side_by_side(one, missing)
    for word, state in (("made", True), ("started", False)):
        names = [host.name for host, is_new in zip(missing, new, strict=True) if is_new is state]
        if names:
            did(f"{word} {', '.join(names)}")
    return {host for host, is_new in zip(missing, new, strict=True) if is_new}


def ask(config: LabConfig, wants: Sequence[LabHost], fresh: set[LabHost]) -> list[Answer]:
    """Ask all hosts: those that may still be booting get the time for it."""
    return ask_all(config, wants, config.boot_s if fresh or young(config, wants) else config.patience_s)


def young(config: LabConfig, wants: Sequence[LabHost]) -> bool:
    """Whether a host was started within the last `boot_s` seconds."""
    return any(processes.age(config, host) < config.boot_s for host in wants)


def poor(answer: Answer, fresh: set[LabHost]) -> bool:
    """Whether a new start may help: silent, or made just now and not running. Being cut off from others it cannot."""
    if answer.unreached:
        return False
    return bool(answer.trouble) or (answer.host in fresh and answer.system != "running")


def write_known_hosts(config: LabConfig, record: Record) -> bool:
    """Write the lab's known_hosts, from the keys of its hosts; gives whether it said anything else before."""
    keys = [(host, processes.folder(config, host) / "host_key.pub") for host in record.hosts]
    text = "".join(f"{host.address} {path.read_text()}" for host, path in keys if path.exists())
    if config.known_hosts.exists() and config.known_hosts.read_text() == text:
        return False
    write_text(config.known_hosts, text)
    return True


def trouble(config: LabConfig, answer: Answer) -> LabUnavailable:
    """The error for a host that does not come up, with the rule in the way or the end of its console."""
    host = answer.host
    if answer.unreached:
        rule = network.blocking() or "no rule of this machine's packet filter was found that does it"
        return LabUnavailable(
            f"{host.name}: {answer.trouble}. {rule}",
            where=f"bridge {config.bridge}",
            kept="the hosts, running",
            next=f"sudo iptables -I FORWARD -i {config.bridge} -o {config.bridge} -j ACCEPT, or change that rule; then inv lab.up",
        )
    failed = f"; failed: {', '.join(answer.failed)}" if answer.failed else ""
    seen = answer.trouble or f"systemd is {answer.system}{failed}"
    return LabUnavailable(
        f"{host.name}: {seen}\n{hosts.console(config, host)}".rstrip(),
        where=str(processes.folder(config, host) / "console.log"),
        kept="the hosts that run",
        next="inv lab.up, or inv lab.down",
    )
