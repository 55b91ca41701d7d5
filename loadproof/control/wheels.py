"""Choosing wheels for another machine: lock lines by the *target's* markers, and pip's words for its platform."""

from __future__ import annotations

from pathlib import Path

from packaging.markers import Marker

from loadproof.plan.values import Platform

OLDEST_GLIBC = {"x86_64": 5, "i686": 5}  # PEP 600: manylinux1 is glibc 2.5; other machines begin at 2.17
LEGACY = ((17, "manylinux2014"), (12, "manylinux2010"), (5, "manylinux1"))


def environment(platform: Platform) -> dict[str, str]:
    """The marker environment of the target. The lock decides on minor versions only: the micro version is taken as 0,
    so that a backport is rather there than missing.
    """
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{platform.python}.0",
        "os_name": "posix",
        "platform_machine": platform.machine,
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{platform.python}.0",
        "python_version": platform.python,
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "extra": "",
    }


def requirements(lock: str, platform: Platform) -> str:
    """The lines of a lock that hold for the target, without their markers: pip would ask *our* Python about them."""
    target = environment(platform)
    chosen: list[str] = []
    taken = False
    for line in lock.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():  # a hash of the requirement above
            if taken:
                chosen.append(line)
            continue
        head, _, marker = line.rstrip("\\ ").partition(";")
        taken = not marker.strip() or Marker(marker.strip()).evaluate(target)
        if taken:
            chosen.append(head.rstrip() + (" \\" if line.endswith("\\") else ""))
    return "\n".join(chosen) + "\n"


def platform_tags(platform: Platform) -> list[str]:
    """Every manylinux tag that runs on the target's glibc, newest first (PEP 600, with the legacy names)."""
    minor = platform.glibc[1] if platform.glibc[0] == 2 else 99
    oldest = OLDEST_GLIBC.get(platform.machine, 17)
    tags: list[str] = []
    for level in range(minor, oldest - 1, -1):
        tags.append(f"manylinux_2_{level}_{platform.machine}")
        tags += [f"{name}_{platform.machine}" for at, name in LEGACY if at == level]
    return [*tags, f"linux_{platform.machine}"]


def pip_words(platform: Platform, target: Path, lock: Path) -> list[str]:
    """The words after `pip` that install a filtered lock for the target into a folder."""
    words = [
        "install", "--quiet", "--no-input", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile",
        "--implementation", "cp", "--python-version", platform.python,
        "--abi", f"cp{platform.python.replace('.', '')}",
        "--target", str(target), "--requirement", str(lock),
    ]  # fmt: skip
    for tag in platform_tags(platform):
        words += ["--platform", tag]
    return words
