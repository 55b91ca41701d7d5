"""Words about hosts: brought to their state, asked, stopped, left."""

from __future__ import annotations

import json
import sys
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from words.given import INVENTORY_HELP, LOAD_HELP, flags
from words.places import RESULTS, ROOT, open_inventory
from words.talk import agreed, all_answered, give, say
from words.word import word


@word(
    more={name: LOAD_HELP[name] for name in ("servers", "variant", "rows")},
    help={
        **INVENTORY_HELP,
        "check": "show what would change, touch nothing",
        "diff": "show the text of files before and after",
        "hosts": "only these hosts, comma separated",
        "packages_from": "a folder of packages on the hosts to install missing ones from",
    },
)
def deploy(
    context: Context,
    inventory: str = "",
    i: str = "",
    group: str = "",
    check: bool = False,
    diff: bool = False,
    hosts: str = "",
    packages_from: str = "",
    **state: Any,
) -> None:
    """Bring every host to its desired state: app on the backends, nginx in front, load host ready."""
    from loadproof.campaign import deploy as deploys
    from loadproof.console import deploy as show
    from loadproof.console import text
    from loadproof.plan import experiment
    from loadproof.plan.flags import listed

    asked = experiment.deployment(flags(state))
    only = listed("--hosts", hosts)
    known = open_inventory(
        inventory or i, group, bring_up=True, planned=lambda lab: deploys.possible(asked, lab, only)
    )
    outcomes = deploys.run(asked, known, ROOT, check, only, packages_from, diff)
    if check or diff:
        give(show.details(outcomes, diff))
    give(show.recap(outcomes, check))
    problems = deploys.causes(outcomes)
    for problem in problems:
        say(text.error(problem, inventory or i, group))
    if problems:
        raise Exit(code=problems[0].exit_code)
    if check:
        then = "nothing was touched; next: inv deploy"
    else:
        then = f"next: inv bench --servers {min(2, len(known.group('app')))}"
    say(text.command(then, inventory or i, group))


@word(help=INVENTORY_HELP)
def status(context: Context, inventory: str = "", i: str = "", group: str = "") -> None:
    """Show what runs on which host now: units, trial, owner."""
    from loadproof.campaign import hosts as fleet
    from loadproof.console import hosts as show

    answers = fleet.facts(open_inventory(inventory or i, group))
    give(show.status(answers))
    all_answered(answers, inventory or i, group)


@word(help={**INVENTORY_HELP, "hosts": "only these hosts, comma separated"})
def facts(context: Context, inventory: str = "", i: str = "", group: str = "", hosts: str = "") -> None:
    """Print what each host says of itself, as JSON."""
    from loadproof.campaign import hosts as fleet
    from loadproof.plan.flags import listed

    only = listed("--hosts", hosts)
    found = fleet.facts(open_inventory(inventory or i, group), only)
    give(
        json.dumps(
            {
                name: value if isinstance(value, dict) else {"error": value.what}
                for name, value in found.items()
            },
            indent=2,
        )
    )
    all_answered(found, inventory or i, group)


@word(help=INVENTORY_HELP)
def stop(context: Context, inventory: str = "", i: str = "", group: str = "") -> None:
    """Stop load, limiter and sampler on every host, let the apps continue, seal what was measured."""
    from loadproof.campaign import hosts as fleet
    from loadproof.console import hosts as show

    answers = fleet.stop(open_inventory(inventory or i, group))
    give(show.done(answers))
    all_answered(answers, inventory or i, group)


@word(
    help={
        **INVENTORY_HELP,
        "packages": "also remove the packages that we brought",
        "discard": "even if a run is on, or was not fetched",
    }
)
def clean(
    context: Context,
    inventory: str = "",
    i: str = "",
    group: str = "",
    packages: bool = False,
    discard: bool = False,
) -> None:
    """Remove all that is ours from every host."""
    from loadproof.campaign import hosts as fleet
    from loadproof.console import hosts as show

    known = open_inventory(inventory or i, group)
    answers = fleet.clean(known, RESULTS, packages, discard)
    give(show.done(answers))
    all_answered(answers, inventory or i, group)


@word(help={**INVENTORY_HELP, "yes": "do not ask"})
def trust(context: Context, inventory: str = "", i: str = "", group: str = "", yes: bool = False) -> None:
    """Show the ssh host keys of all hosts and, after a yes, remember them."""
    from loadproof.console import hosts as show
    from loadproof.console import text
    from loadproof.control import trust as trusting
    from loadproof.errors import Refused

    known = open_inventory(inventory or i, group)
    found, failed = trusting.collect(known)
    give(show.keys(found))
    failed |= trusting.refused(found)
    new = [key.host for key in found if key.known == "new"]
    if new and not yes and not sys.stdin.isatty():
        failed[""] = Refused(
            "nobody is here to look at the fingerprints",
            where=f"host {', '.join(new)}",
            kept="nothing was touched",
            next="inv trust --yes",
        )
        all_answered(failed, inventory or i, group)
    if new and not yes and not agreed("Are these the keys of your hosts?", by_default=False):
        raise Exit("nothing was touched", code=4)
    for line in trusting.remember(found):
        say(text.command(line, inventory or i, group))
    all_answered(failed, inventory or i, group)


@word(help=INVENTORY_HELP)
def doctor(context: Context, inventory: str = "", i: str = "", group: str = "") -> None:
    """Ask every host whether it can do its part: login, sudo, Python, ports, disk, packages."""
    from loadproof.campaign import hosts as fleet
    from loadproof.console import hosts as show

    findings = fleet.doctor(open_inventory(inventory or i, group))
    give(show.findings(findings, inventory or i, group))
    if any(not finding.ok for finding in findings):
        raise Exit(code=3)
