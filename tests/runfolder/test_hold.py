"""One conductor of a run at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadproof.errors import Refused
from loadproof.runfolder.hold import conducted, is_conducted
from loadproof.runfolder.paths import RunFolder


def test_a_second_conductor_is_refused_and_told_who_the_first_one_is(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not is_conducted(folder)
    with conducted(folder):
        assert is_conducted(folder)
        with pytest.raises(Refused, match=f"process {os.getpid()} ") as caught, conducted(folder):
            pass
        assert all((caught.value.where, caught.value.kept, caught.value.next))
        assert is_conducted(folder)
    assert not is_conducted(folder)


def test_a_killed_conductor_holds_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from loadproof.runfolder.hold import conducted;"
        "from loadproof.runfolder.paths import RunFolder;"
        "held = conducted(RunFolder(Path(sys.argv[1]))); held.__enter__(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parents[2],
    ) as other:  # fmt: skip
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        assert is_conducted(RunFolder(tmp_path))
        other.kill()
        other.wait()
    with conducted(RunFolder(tmp_path)):
        pass
