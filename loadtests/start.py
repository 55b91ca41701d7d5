"""`python -m loadtests.start master|NUMBER`: Locust, headless, as the trial in progress wants it."""

from __future__ import annotations

import os
import re
import sys
import types

from loadtests import scenarios, trial

MASTER = "master"
INSTANCE_VARIABLE = "LOADPROOF_INSTANCE"
EXIT_REJECTED = 64
# Locust looks this long for a late worker's report after each step, in the greenlet that does the next step.
REPORT_WAIT = {"LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP": "0.1"}


def main(arguments: list[str]) -> int:
    """Become Locust. Returns 64, having said why, when the arguments or trial.json cannot be used."""
    try:
        if len(arguments) != 1:
            raise trial.BadTrial("usage: python -m loadtests.start master|NUMBER")
        planned = trial.read(trial.path())
        check(arguments[0], planned)
    except trial.BadTrial as error:
        sys.stderr.write(f"loadtests.start: {error}\n")
        return EXIT_REJECTED
    for name in [name for name in os.environ if name.startswith("LOCUST_")]:
        del os.environ[name]  # Locust takes options from there: nothing but the trial decides
    os.environ.update(REPORT_WAIT)
    os.environ[INSTANCE_VARIABLE] = arguments[0]
    sys.argv = ["locust", *locust_arguments(arguments[0], planned)]
    without_web()
    from locust.main import main as locust_main  # here: it patches the process, which a check must not do

    locust_main()
    return 0


def without_web() -> None:
    """Leave Locust's web page out of this process: it is headless, and flask is a fifth of what a start costs."""
    web = types.ModuleType("locust.web")
    web.WebUI = None  # type: ignore[attr-defined]  # the only name that Locust takes from there
    sys.modules["locust.web"] = web


def check(instance: str, planned: trial.LoadTrial) -> None:
    """Raise BadTrial if this instance has no part in the trial, or could not do it."""
    problems = []
    if instance != MASTER and not re.fullmatch(r"[1-9][0-9]{0,4}", instance):
        problems.append(f"instance must be `master` or a worker number from 1, is {instance!r}")
    elif instance != MASTER and int(instance) >= trial.FIRST_RESERVED_WORKER:
        problems.append(f"worker number must be below {trial.FIRST_RESERVED_WORKER}, is {instance}")
    if planned.scenario not in scenarios.names():
        problems.append(f"no scenario named {planned.scenario!r}; there are: {', '.join(scenarios.names())}")
    if not os.path.isdir(planned.out) or not os.access(planned.out, os.W_OK | os.X_OK):
        problems.append(f"cannot write into the folder {planned.out!r}")
    rows = os.path.join(planned.out, f"requests-{instance}.rows")
    if os.path.exists(rows):
        problems.append(f"{rows} exists: this worker has already run in this trial")
    if problems:
        raise trial.BadTrial("\n".join(problems))


def locust_arguments(instance: str, planned: trial.LoadTrial) -> list[str]:
    """Locust's command line for the master or one worker."""
    locustfile = os.path.join(os.path.dirname(os.path.abspath(__file__)), "locustfile.py")
    common = ["-f", locustfile, "--host", planned.target, "--loglevel", "INFO", "--exit-code-on-error", "0"]
    port = str(planned.master_port)
    if instance != MASTER:
        return [*common, "--worker", "--master-host", planned.master_host, "--master-port", port]
    bind = ["--master-bind-host", planned.bind, "--master-bind-port", port]
    workers = ["--expect-workers", str(planned.workers), "--expect-workers-max-wait", "30"]
    return [*common, "--headless", "--only-summary", "--master", *bind, *workers]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
