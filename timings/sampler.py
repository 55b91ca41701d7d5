"""What the sampler costs: its CPU over 30 s as a percentage of one CPU, with the processes of this machine.

    python timings/sampler.py [seconds] [extra idle processes]

Asked: at most 0.3 % of one CPU.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLER = Path(__file__).parent.parent / "hostside" / "sample.py"


def measure(seconds: float, extra: int) -> tuple[float, int, int]:
    """CPU in % of one CPU after start-up, processes seen, bytes written per second."""
    idle = [subprocess.Popen(["sleep", "3600"]) for _ in range(extra)]
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "sample.jsonl"
        sampler = subprocess.Popen(["/usr/bin/python3", "-I", "-S", str(SAMPLER), "--out", folder])
        try:
            time.sleep(2)
            clock, size, begun = ((~sampler.pid) << 3) | 2, written.stat().st_size, time.monotonic()
            before = time.clock_gettime_ns(clock)
            time.sleep(seconds)
            used = time.clock_gettime_ns(clock) - before
            took = time.monotonic() - begun
            grown = written.stat().st_size - size
            seen = written.read_text().splitlines()[-1].count('"pid"')
        finally:
            sampler.terminate()
            sampler.wait()
            for process in idle:
                process.kill()
                process.wait()
    return used / 1e9 / took * 100, seen, int(grown / took)


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    extra = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    percent, seen, rate = measure(seconds, extra)
    print(
        f"{percent:.3f} % of one CPU with {seen} processes, {rate} bytes/s, over {seconds:g} s (asked: <= 0.3 %)"
    )
