"""What a process holds open."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def open_files(pid: int) -> list[str]:
    """Where its descriptors lead, in no order."""
    found = []
    for descriptor in list(Path(f"/proc/{pid}/fd").iterdir()):
        # it may be closed at any moment between the list and the look
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(descriptor))
    return found
