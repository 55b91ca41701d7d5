"""Where our things live on a host. Nothing of ours is anywhere else."""

from __future__ import annotations

OPT = "/opt/loadproof"
TREES = f"{OPT}/trees"
HOSTSIDE = f"{OPT}/hostside"
ETC = "/etc/loadproof"
VAR = "/var/lib/loadproof"
IDLE = f"{VAR}/idle"  # where programs write when there is no trial
CURRENT = f"{VAR}/current"  # symlink to IDLE or to the trial's folder
RUN = "/run/loadproof"
TRIAL_JSON = f"{RUN}/trial.json"
LIMIT_JSON = f"{RUN}/limit.json"
RUNTIME_UNITS = "/run/systemd/system"
UNITS = "/etc/systemd/system"

APP_UNIT = "loadproof-app.service"
LIMIT_UNIT = "loadproof-limit.service"
PROXY_UNIT = "loadproof-proxy.service"
SAMPLE_UNIT = "loadproof-sample.service"


def load_unit(instance: str | int) -> str:
    """The unit of one Locust process: instance "master" or a worker number."""
    return f"loadproof-load@{instance}.service"


def trial_out(run: str, trial: str) -> str:
    """Folder of a trial's raw files on a host."""
    return f"{VAR}/trials/{run}/{trial}"


FETCHED = ".fetched"  # beside a trial's folder on a host: its files are at the control machine, verified
