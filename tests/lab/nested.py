"""Run inside a booted machine whose pid 1 is systemd, by test_lab_systemd.py: prints one JSON object."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from lab import image, processes
from lab.config import LabConfig
from lab.down import down
from lab.record import read_record
from lab.up import up
from tests.lab.asking import left_on_machine, wait_until


def main() -> None:
    config = replace(LabConfig.of(Path("/opt/My Projects/100% clone"), {}), images=Path("/images"))
    (name,) = os.listdir(config.images)
    image.recipe = lambda suite: name
    told: dict[str, object] = {"systemd": Path("/run/systemd/system").is_dir()}
    first = up(1, config=config)
    app = next(host for host in read_record(config).hosts if host.name == "app1")
    told["pids_recorded"] = all(
        (processes.folder(config, host.host) / "pid").read_text().split()[0] == str(host.pid)
        for host in first.hosts
    )
    told["again"] = up(config=config).changed
    units = ["systemctl", "list-units", "--plain", "--no-legend", "loadproof-lab-*"]
    told["units"] = [
        line.split()[0] for line in subprocess.run(units, capture_output=True, text=True).stdout.splitlines()
    ]
    pid = processes.process(config, app)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: processes.process(config, app) is None, "nspawn is gone")
    told["repaired"] = up(config=config).changed
    began = time.monotonic()
    told["gone"] = down(config=config).hosts
    told["down_s"] = time.monotonic() - began
    told["left"] = left_on_machine(config)
    told["units_left"] = subprocess.run(units, capture_output=True, text=True).stdout
    print(json.dumps(told))


if __name__ == "__main__":
    main()
