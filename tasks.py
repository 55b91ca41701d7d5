"""What Invoke loads: the words of `inv`, in the order in which they are listed. They live in `words/`."""

from __future__ import annotations

import sys

from invoke.collection import Collection
from invoke.main import program

# Invoke turns this on for its loader; our own modules should be compiled once, not at each start.
sys.dont_write_bytecode = False

from words import develop, given, hosts, lab, questions, runs, trials  # noqa: E402

# Invoke loads this file after it has set its own flags apart, and before it reads the words of a task.
if hasattr(program, "core"):
    program.core.unparsed[:] = given.repeated(program.core.unparsed)

ns = Collection(
    questions.demo,
    questions.experiment,
    questions.capacity,
    runs.compare,
    questions.rerun,
    hosts.deploy,
    trials.bench,
    trials.rehearse,
    runs.fetch_results,
    runs.report,
    runs.analyse,
    runs.variance,
    runs.share,
    runs.journey,
    runs.runs,
    hosts.status,
    hosts.facts,
    trials.plan,
    trials.attach,
    hosts.stop,
    hosts.clean,
    hosts.trust,
    hosts.doctor,
    develop.lint,
    develop.test,
)
ns.add_collection(Collection("lab", lab.lab_up_word, lab.lab_status, lab.lab_down))
