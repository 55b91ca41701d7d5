from __future__ import annotations

from typing import Any

import pytest

from analysis.about import _one_kernel

ONE = {"boot_id": "a", "booted_s": 1795488000, "kernel": "6.1.0", "memory_kb": 4096}


@pytest.mark.parametrize(
    ("second", "shared"),
    [
        (ONE, True),
        (ONE | {"boot_id": "b"}, True),  # systemd-nspawn gives every container a boot id of its own
        (ONE | {"boot_id": "b", "booted_s": 1795488001}, True),
        (ONE | {"boot_id": "b", "booted_s": 1795488002}, False),
        (ONE | {"boot_id": "b", "kernel": "6.1.1"}, False),
        (ONE | {"boot_id": "b", "memory_kb": 8192}, False),
        ({"boot_id": "b"}, False),
        ({}, False),
    ],
)
def test_one_kernel(second: dict[str, Any], shared: bool) -> None:
    assert _one_kernel([ONE, second]) is shared


@pytest.mark.parametrize("key", list(ONE))
@pytest.mark.parametrize("odd", [[1], {"a": 1}, "x", None, True, 10**400, float("nan"), float("inf")])
def test_what_hosts_say_may_be_anything(key: str, odd: Any) -> None:
    assert not _one_kernel([ONE | {key: odd}, ONE | {"boot_id": "b", "booted_s": 1795489000}])


def test_one_host_shares_nothing() -> None:
    assert not _one_kernel([ONE])
