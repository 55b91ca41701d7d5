"""What each host must look like for an arm: a pure function of inventory, arm, sources and templates.

No fact of a host enters, no time, no chance and no run id: the deploy id is the hash of it all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment

from loadproof.errors import BadInput, Problem
from loadproof.plan import places, recipes, timeouts, trials
from loadproof.plan.allowed import did_you_mean
from loadproof.plan.load import MOST_USERS
from loadproof.plan.render import environment, render
from loadproof.plan.settings import choices
from loadproof.plan.values import (
    MASTER_PORT,
    STATUS_PORT,
    Desired,
    Experiment,
    FileSpec,
    Host,
    HostDesired,
    Inventory,
    Platform,
    Promise,
    Role,
    Serving,
    States,
    TreeSpec,
    UnitSpec,
)

LOAD_UNIT = "loadproof-load@.service"
OUT_UNIT = "loadproof-out.service"
NGINX_CONF = f"{places.ETC}/nginx.conf"
APP_ENV = f"{places.ETC}/app.env"
DEPLOY_JSON = f"{places.ETC}/deploy.json"
LOAD_NFT = f"{places.ETC}/load.nft"
NGINX_UNIT = "nginx.service"  # the distribution's: must not start by itself when we bring nginx

KINDS: tuple[Role, ...] = ("app", "load")  # roles that get a tree

# Paths that only some roles have: on another host they are left over.
OF_ROLES = (
    NGINX_CONF,
    APP_ENV,
    LOAD_NFT,
    *(
        f"{places.UNITS}/{unit}"
        for unit in (places.APP_UNIT, places.LIMIT_UNIT, places.PROXY_UNIT, LOAD_UNIT)
    ),
)


@dataclass(frozen=True)
class _Arm:
    """All that the parts of a desired state are made from."""

    inventory: Inventory
    servers: tuple[Host, ...]
    serving: Serving
    data: TreeSpec
    trees: Mapping[tuple[str, Role], TreeSpec]  # (host, kind)
    templates: Environment
    programs: tuple[FileSpec, ...]  # hostside/*.py
    deploy_id: str = ""


def desired(
    inventory: Inventory,
    serving: Serving,
    apps: Sequence[str],
    seed: int,
    platforms: Mapping[str, Platform],
    root: Path,
) -> Desired:
    """The desired state of every host with these app hosts serving, in the order of the inventory.

    `platforms` by name, for app and load hosts. Raises BadInput for an unknown variant.
    """
    variant, variants = serving.variant, choices(root / "app" / "variants")
    if variant not in variants:
        raise BadInput(
            [Problem(f"there is no variant {variant!r}{did_you_mean(variant, variants)}", "--variant")]
        )
    wanted = {
        (host.name, kind): platforms[host.name]
        for host in inventory.hosts
        for kind in KINDS
        if kind in host.roles
    }
    # Reading all sources once for each platform, not for each host.
    pairs = {(kind, platform) for (_, kind), platform in wanted.items()}
    made = {(kind, platform): recipes.program_tree(kind, platform, root) for kind, platform in pairs}
    trees = {(name, kind): made[kind, platform] for (name, kind), platform in wanted.items()}
    served = tuple(host for host in inventory.group("app") if host.name in apps)
    data = recipes.data_tree(serving.rows, seed, root)
    arm = _Arm(inventory, served, serving, data, trees, environment(root), _programs(root))
    deploy_id = _digest([_plain(host) for host in _hosts(arm)])
    return Desired(
        deploy_id, _hosts(replace(arm, deploy_id=deploy_id)), variant, tuple(host.name for host in served)
    )


def states(
    experiment: Experiment, inventory: Inventory, platforms: Mapping[str, Platform], root: Path
) -> States:
    """The desired state of every trial of an experiment, of a calibration too. Raises BadInput (enough_servers)."""
    wanted = {one.state for one in trials.placed(experiment, inventory)}
    if experiment.calibrate:
        wanted.add(trials.calibrating(experiment, inventory).state)
    return {
        (serving, apps): desired(inventory, serving, apps, experiment.seed, platforms, root)
        for serving, apps in wanted
    }


def _programs(root: Path) -> tuple[FileSpec, ...]:
    files = sorted(path for path in (root / "hostside").glob("*.py") if not path.name.startswith("_"))
    return tuple(FileSpec(f"{places.HOSTSIDE}/{path.name}", path.read_bytes()) for path in files)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _plain(host: HostDesired) -> dict[str, Any]:
    """A host's state as JSON, file contents by hash."""
    return {
        "host": host.host,
        "packages": host.packages,
        "masked": host.masked,
        "files": [(file.path, file.sha256, file.mode, file.owner) for file in host.files],
        "trees": [tree.path for tree in host.trees],
        "units": [(unit.name, unit.state, unit.restart_on) for unit in host.units],
        "promises": [
            (promise.kind, promise.port, promise.expected, promise.variant) for promise in host.promises
        ],
        "ports": host.ports,
        "absent": host.absent,
    }


def _hosts(arm: _Arm) -> tuple[HostDesired, ...]:
    return tuple(_host(arm, host) for host in arm.inventory.hosts)


@dataclass
class _Parts:
    """The parts of one host, added role by role."""

    packages: list[tuple[str, str]]
    files: list[FileSpec]
    trees: list[TreeSpec]
    units: list[UnitSpec]
    promises: list[Promise]
    ports: list[int]


def _host(arm: _Arm, host: Host) -> HostDesired:
    parts = _Parts([], list(arm.programs), [], [], [], [])
    note = {"deploy_id": arm.deploy_id, "variant": arm.serving.variant, "host": host.name}
    parts.files.append(FileSpec(DEPLOY_JSON, (json.dumps(note) + "\n").encode()))
    parts.files.append(_unit_file(arm, host, OUT_UNIT))
    if "app" in host.roles:
        _app(arm, host, parts)
    if "proxy" in host.roles:
        _proxy(arm, host, parts)
    if "load" in host.roles:
        _load(arm, host, parts)
    parts.files.append(_unit_file(arm, host, places.SAMPLE_UNIT))
    parts.units.append(UnitSpec(places.SAMPLE_UNIT, "stopped"))
    if parts.trees:
        parts.packages.insert(0, ("zstd", "zstd"))  # unpacks them
    paths = {file.path for file in parts.files}
    return HostDesired(
        host=host.name,
        packages=tuple(parts.packages),
        masked=(NGINX_UNIT,) if "proxy" in host.roles else (),
        files=tuple(parts.files),
        trees=tuple(parts.trees),
        units=tuple(parts.units),
        promises=tuple(parts.promises),
        ports=tuple(parts.ports),
        absent=tuple(path for path in OF_ROLES if path not in paths),
    )


def _unit_file(arm: _Arm, host: Host, unit: str, **more: Any) -> FileSpec:
    text = render(
        arm.templates,
        unit,
        python=host.python,
        stop_s=timeouts.STOP_S,
        hostside=places.HOSTSIDE,
        etc=places.ETC,
        run=places.RUN,
        idle=places.IDLE,
        current=places.CURRENT,
        **more,
    )
    return FileSpec(f"{places.UNITS}/{unit}", text)


def _app(arm: _Arm, host: Host, parts: _Parts) -> None:
    """The app with its data and its limiter's supervisor; the limit itself is a trial's, not desired state."""
    tree, serves = arm.trees[host.name, "app"], host in arm.servers
    port = host.port("app")
    env = render(
        arm.templates,
        "app.env",
        deploy_id=arm.deploy_id,
        variant=arm.serving.variant,
        data_tree=arm.data.path,
        port=port,
        current=places.CURRENT,
        settings=arm.serving.app,
    )
    unit = _unit_file(arm, host, places.APP_UNIT, app_tree=tree.path, low_port=port < 1024)
    parts.packages.append(("cpulimit", "cpulimit"))
    parts.files += [FileSpec(APP_ENV, env), unit, _unit_file(arm, host, places.LIMIT_UNIT)]
    parts.trees += [tree, arm.data]
    restart_on = (unit.path, APP_ENV, tree.name, arm.data.name)
    parts.units.append(UnitSpec(places.APP_UNIT, "running" if serves else "stopped", restart_on))
    parts.units.append(UnitSpec(places.LIMIT_UNIT, "stopped"))
    if serves:
        parts.promises.append(Promise("health", port, arm.deploy_id, arm.serving.variant))
        parts.ports.append(port)


def _proxy(arm: _Arm, host: Host, parts: _Parts) -> None:
    conf, digest = nginx_conf(arm.templates, host, arm.servers, arm.serving)
    unit = _unit_file(arm, host, places.PROXY_UNIT)
    parts.packages.append(("nginx", "nginx"))
    parts.files += [FileSpec(NGINX_CONF, conf), unit]
    parts.units.append(UnitSpec(places.PROXY_UNIT, "running", (unit.path, NGINX_CONF)))
    parts.promises.append(Promise("config", STATUS_PORT, digest))
    parts.ports += [host.port("proxy"), STATUS_PORT]


def nginx_conf(
    templates: Environment, proxy: Host, servers: tuple[Host, ...], serving: Serving
) -> tuple[bytes, str]:
    """nginx's configuration and its hash, which its status server answers: that of the text with the hash blank."""

    def text(config_hash: str) -> bytes:
        return render(
            templates,
            "nginx.conf",
            config_hash=config_hash,
            run=places.RUN,
            current=places.CURRENT,
            temporary=f"{places.VAR}/nginx",
            most_users=MOST_USERS,
            connections=4 * MOST_USERS,
            backends=[(host.address, host.port("app")) for host in servers],
            serving=serving,
            port=proxy.port("proxy"),
            status_port=STATUS_PORT,
            timeouts={
                "keepalive": timeouts.NGINX_KEEPALIVE_S,
                "connect": timeouts.NGINX_CONNECT_S,
                "send": timeouts.NGINX_SEND_S,
                "read": timeouts.NGINX_READ_S,
            },
        )

    digest = hashlib.sha256(text("")).hexdigest()[:16]
    return text(digest), digest


def _load(arm: _Arm, host: Host, parts: _Parts) -> None:
    """Locust. With several load hosts the master listens on its traffic address, and nft keeps others out."""
    loads = arm.inventory.group("load")
    tree, guarded = arm.trees[host.name, "load"], len(loads) > 1
    parts.files.append(_unit_file(arm, host, LOAD_UNIT, load_tree=tree.path, guarded=guarded))
    parts.trees.append(tree)
    parts.units.append(UnitSpec(LOAD_UNIT, "stopped"))
    if guarded:
        addresses = [load.address for load in loads]
        rules = render(arm.templates, "load.nft", master_port=MASTER_PORT, addresses=addresses)
        parts.files.append(FileSpec(LOAD_NFT, rules))
        parts.packages.append(("nft", "nftables"))
    if host == loads[0]:
        parts.ports.append(MASTER_PORT)
