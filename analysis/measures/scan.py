"""What has to be known of all requests before any of them is counted: where they end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.measures.columns import codes, counted, ids, ints
from analysis.rows import Rows


@dataclass(frozen=True)
class Scan:
    """Times in µs; None where there is no request. `last`: by worker the last end of its requests; `cut`: the ends of
    those that our own stop cut off."""

    first_end: int | None
    last_end: int | None
    last: Mapping[int, int]
    cut: tuple[int, ...]


NOWHERE = Scan(None, None, {}, ())


def scan(requests: Rows) -> Scan:
    """Looks at the ends of all requests of the load."""
    labels = requests.labels("error")
    cut_code = labels.index("cut") if "cut" in labels else -2
    first: list[int] = []
    last: dict[int, int] = {}
    cut: list[int] = []
    for piece in requests.pieces(("id", "worker", "end_us", "error")):
        keep = counted(ids(piece))
        if not keep.any():
            continue
        end, worker = ints(piece, "end_us")[keep], ints(piece, "worker")[keep]
        first.append(int(end.min()))
        for one in np.unique(worker).tolist():
            last[one] = max(last.get(one, 0), int(end[worker == one].max()))
        cut += end[codes(piece, "error")[keep] == cut_code].tolist()
    return Scan(min(first, default=None), max(last.values(), default=None), last, tuple(sorted(cut)))
