"""Taking the lab down: no process, mount, bridge or file stays but image and key; with purge not even those."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab import hosts, image, listing, machine, network, processes
from lab.config import LabConfig, LabHost, host_of
from lab.owner import clear, disown, read_owner, refuse_foreign
from lab.record import Record, locked, read_record, without, write_record
from lab.root import need_root
from lab.status import settled
from lab.up import discard as discard_hosts
from lab.up import silent, write_known_hosts
from loadproof.errors import BadInput, Problem


@dataclass(frozen=True)
class Gone:
    """What `down` took away, and which packages `up` had brought: those stay, `words` removes them."""

    hosts: tuple[str, ...]
    packages: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The line that removes the packages; "" when there are none."""
        return machine.WORD_TO_REMOVE + " ".join(self.packages) if self.packages else ""


def down(
    purge: bool = False,
    say: Callable[[str], None] = silent,
    host: str | None = None,
    config: LabConfig | None = None,
) -> Gone:
    """Take the lab down, or only `host` of it; `purge` removes image and key too.

    What runs left on the hosts goes with them: who calls asks first. Raises Refused for another's lab, BadInput for a host that is not there. Repeatable: nothing there is no error.
    """
    config = config or LabConfig.of()
    refuse_foreign(config)
    with locked(config):
        record = read_record(config)
        config = settled(config, record)
        if host is not None:
            return remove_host(config, record, host, say)
        gone = take_down(config, record, say)
        packages = machine.brought(config) if purge else ()
        if purge:
            remove_all(config)
        return Gone(gone, packages)


def take_down(config: LabConfig, record: Record, say: Callable[[str], None]) -> tuple[str, ...]:
    """Stop and remove everything that `up` may have begun, whether the record knows of it or not."""
    listing.remove(config)
    all_hosts = known(config, record)
    strays = processes.strays(config)
    begun = all_hosts or strays or image.partial(config) or network.exists(config.bridge)
    if begun or read_owner(config) is not None:
        need_root()
    if all_hosts:
        say(f"powering off {', '.join(host.name for host in all_hosts)}")
    for left in clear(config):
        say(left)
    processes.end(strays)
    hosts.stop(config, all_hosts)
    image.remove(config, config.hosts)
    for name in image.partial(config):
        image.remove(config, config.images / name)
    network.remove(config)
    network.forget_manager(config)
    machine.restore_inotify(record)
    config.known_hosts.unlink(missing_ok=True)
    config.record.unlink(missing_ok=True)
    disown(config)
    return tuple(host.name for host in all_hosts)


def known(config: LabConfig, record: Record) -> tuple[LabHost, ...]:
    """Hosts of the record, and hosts that only a folder tells of."""
    names = {host.name for host in record.hosts}
    folders = sorted(path.name for path in config.hosts.iterdir()) if config.hosts.is_dir() else []
    proxy = host_of(config.net, "proxy", 1)
    lost = tuple(LabHost(name, proxy.role, "") for name in folders if name not in names)
    return (*record.hosts, *lost)


def remove_host(config: LabConfig, record: Record, name: str, say: Callable[[str], None]) -> Gone:
    """Take one host away. Raises BadInput when it is not there or the last of its role."""
    found = {host.name: host for host in record.hosts}.get(name)
    if found is None:
        names = ", ".join(host.name for host in record.hosts) or "none"
        raise BadInput(
            [Problem(f"no lab host {name!r}; there are: {names}", "--host")], next="inv lab.status"
        )
    if sum(host.role == found.role for host in record.hosts) == 1:
        raise BadInput([Problem(f"{name} is the last {found.role} host", "--host")], next="inv lab.down")
    was_listed = listing.matches(config, record.hosts)
    need_root()
    say(f"powering off {name}")
    left = without(record, name)
    listing.remove(config)
    discard_hosts(config, [found])
    write_record(config, left)
    write_known_hosts(config, left)
    if was_listed:
        listing.write(config, left.hosts)
    return Gone((name,))


def remove_all(config: LabConfig) -> None:
    """Remove image, key and everything else of ours; images that are kept elsewhere belong to others too."""
    if config.state.exists():
        need_root()
    image.remove(config, config.state)
    config.lock.unlink(missing_ok=True)
