"""Starts with some users and adds the same number at equal intervals until all of them run."""

from __future__ import annotations


def table(users: int, initial: int, step: int, interval_s: float) -> tuple[tuple[float, int], ...]:
    """Rows (second, users in total), the first at second 0; users are constant until the next row.

    The last step is cut to `users`, and a first step larger than `users` too. Raises ValueError for a load that
    never starts or never reaches its users.
    """
    if users < 1 or initial < 1:
        raise ValueError(f"a load needs at least one user: users={users}, initial={initial}")
    rows: list[tuple[float, int]] = [(0.0, min(initial, users))]
    if rows[0][1] < users and (step < 1 or interval_s <= 0):
        raise ValueError(f"never reaches {users} users: step={step}, interval={interval_s} s")
    while rows[-1][1] < users:
        # Each second is computed from the number of the step: adding up intervals would add up rounding errors.
        rows.append((round(len(rows) * interval_s, 6), min(rows[-1][1] + step, users)))
    return tuple(rows)
