"""What this host is and has, in one answer.

    facts.py '{"files":[...],"trees":[...],"programs":[...],"units":[...],"ports":[...],"health":[{"port":8000}],
               "config":[{"port":8079}],"disk":[...],"folders":[...]}'

Every key may be missing. A path of files or trees that ends in /* is all of them there. Prints one JSON object. Twenty hosts of one machine ask this at once: it reads /proc and
spawns `systemctl show` once and nothing else (versions are asked once and remembered).
"""

# Slow modules (subprocess, http.client, re) cost more than all the work here, so they are not imported.
from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import socket
import sys
import time
from typing import Any

RUN = "/run/loadproof"
VAR = "/var/lib/loadproof"
OURS = (
    "/opt/loadproof",
    "/opt/loadproof/trees",
    "/opt/loadproof/hostside",
    "/etc/loadproof",
    VAR,
    f"{VAR}/idle",
)
USER = "loadproof"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HEALTH_ID = f"fff1{0:012x}"
ANSWER_WITHIN_S = 2.0  # an app held to 5 % of a CPU answers slowly
VERSION_WORDS = {"nginx": "-v", "cpulimit": "-h", "zstd": "-V"}
UNIT_FOLDERS = tuple(
    f"{base}/systemd/{kind}" for base in ("/etc", "/run") for kind in ("system", "system.control")
)
TRIALS = {"/run/systemd/system": "trial.conf", "/run/systemd/system.control": "50-CPUQuota.conf"}
UNIT_KEYS = "Id,ActiveState,SubState,MainPID,UnitFileState,NeedDaemonReload,FragmentPath,NRestarts,Result"


def text_of(path: str) -> str:
    """A small file's text; empty when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def json_of(path: str) -> dict[str, Any] | None:
    """A small JSON object, or None."""
    try:
        found = json.loads(text_of(path))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def said(words: list[str], within_s: float = 10.0) -> str:
    """What a program printed on both outputs; empty when it cannot be started. Killed after `within_s`."""
    import select

    read_end, write_end = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, write_end, 1), (os.POSIX_SPAWN_DUP2, write_end, 2)]
    environment = {"PATH": PATH, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    try:
        pid = os.posix_spawnp(words[0], words, environment, file_actions=actions)
    except OSError:
        os.close(read_end)
        return ""
    finally:
        os.close(write_end)
    parts, end = [], time.monotonic() + within_s
    while select.select([read_end], [], [], max(0.0, end - time.monotonic()))[0]:
        part = os.read(read_end, 65536)
        if not part:
            break
        parts.append(part)
    else:
        os.kill(pid, 9)
    os.close(read_end)
    os.waitpid(pid, 0)
    return b"".join(parts).decode("utf-8", "replace")


def owner_of(status: os.stat_result) -> str:
    """Owner's name; "owner:group" when the group is not the owner's own; numbers where there is no name."""
    try:
        owner = pwd.getpwuid(status.st_uid)
        name, own_group = owner.pw_name, owner.pw_gid
    except KeyError:
        name, own_group = str(status.st_uid), status.st_uid
    if status.st_gid == own_group:
        return name
    try:
        return f"{name}:{grp.getgrgid(status.st_gid).gr_name}"
    except KeyError:
        return f"{name}:{status.st_gid}"


def file_fact(path: str) -> dict[str, Any] | None:
    """Hash, mode and owner of a file; None when it is absent. The hash of what is no file is empty."""
    try:
        status = os.lstat(path)
        digest = ""
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
    return {"sha256": digest, "mode": status.st_mode & 0o7777, "owner": owner_of(status)}


def folder_fact(path: str) -> dict[str, Any] | None:
    """Mode and owner of a folder; None when there is no such folder."""
    if not os.path.isdir(path):
        return None
    status = os.stat(path)
    return {"mode": status.st_mode & 0o7777, "owner": owner_of(status)}


def altered(tree: str) -> list[str]:
    """What was changed in a shipped tree since, files first: install.py leaves it without times (`timeless`)."""
    files, folders, waiting = list[str](), list[str](), [tree]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                folder = entry.is_dir(follow_symlinks=False)
                if folder:
                    waiting.append(entry.path)
                if entry.stat(follow_symlinks=False).st_mtime_ns and entry.path != f"{tree}/.complete":
                    (folders if folder else files).append(os.path.relpath(entry.path, tree))
    return sorted(files) + sorted(folders)


def tree_facts(paths: list[str]) -> dict[str, Any]:
    """Which trees are there as they were shipped, and what somebody changed in those that are not."""
    complete = {path: os.path.exists(f"{path}/.complete") for path in paths}
    changed = {path: found for path in paths if complete[path] and (found := altered(path))}
    return {
        "trees": {path: complete[path] and path not in changed for path in paths},
        "altered": {path: {"first": found[0], "number": len(found)} for path, found in changed.items()},
    }


def find_program(name: str) -> str | None:
    """Absolute path of a program, also in the folders that only root's PATH has."""
    for folder in dict.fromkeys((os.environ.get("PATH", "") + ":" + PATH).split(":")):
        path = os.path.join(folder, name)
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def versions(programs: dict[str, str | None]) -> dict[str, str]:
    """First line that each known program says of itself, remembered by path, size and time of change."""
    store = f"{RUN}/versions.json"
    known = json_of(store) or {}
    found, fresh = {}, dict(known)
    for name, path in programs.items():
        if path is None or name not in VERSION_WORDS:
            continue
        status = os.stat(path)
        key = f"{path} {status.st_size} {status.st_mtime_ns}"
        if key not in fresh:
            lines = said([path, VERSION_WORDS[name]]).strip().splitlines()
            fresh[key] = lines[0] if lines else ""
        found[name] = str(fresh[key])
    if fresh != known and os.geteuid() == 0:
        # Only a convenience: a host without our folder is asked again.
        with contextlib.suppress(OSError):
            with open(f"{store}.{os.getpid()}", "w") as file:
                json.dump(fresh, file)
            os.rename(f"{store}.{os.getpid()}", store)
    return found


def unit_fact(shown: dict[str, str]) -> dict[str, Any]:
    """One unit, from the properties that systemd shows (none: systemd does not answer here)."""
    return {
        "active": shown.get("ActiveState", "unknown"),
        "sub": shown.get("SubState", ""),
        "pid": int(shown.get("MainPID") or 0),
        "enabled": shown.get("UnitFileState", ""),
        "unit_file": bool(shown.get("FragmentPath")),
        "needs_reload": shown.get("NeedDaemonReload") == "yes",
        "restarts": int(shown.get("NRestarts") or 0),
        "result": shown.get("Result", ""),
    }


def rank(state: str) -> int:
    """How much an instance's state says of its template: what runs or is on its way, then what failed, then the rest."""
    return 0 if state == "active" else 2 if state == "failed" else 3 if state == "inactive" else 1


def unit_facts(names: list[str]) -> dict[str, dict[str, Any]]:
    """All units by one question. A template (load@.service) is what its busiest instance is; `instances` that run."""
    if not names:
        return {}
    asked = [name.replace("@.", "@*.") for name in names]
    shown: dict[str, dict[str, str]] = {}
    running: dict[str, list[str]] = {}
    for block in said(["systemctl", "show", f"--property={UNIT_KEYS}", *asked]).split("\n\n"):
        pairs = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        name = pairs.get("Id", "")
        template = name.partition("@")[0] + "@.service" if "@" in name and name not in names else name
        state = pairs.get("ActiveState", "")
        if template not in shown or rank(state) < rank(shown[template].get("ActiveState", "")):
            shown[template] = pairs
        if state not in ("inactive", "failed"):
            running.setdefault(template, []).append(name)
    facts = {}
    for name in names:
        facts[name] = unit_fact(shown.get(name, {}))
        if "@." in name:
            facts[name]["instances"] = sorted(running.get(name, []))
            facts[name]["unit_file"] = os.path.exists(f"/etc/systemd/system/{name}")
            if name not in shown:
                facts[name]["active"] = "inactive"
    return facts


def names_in(folder: str) -> list[str]:
    """What a folder holds; nothing where there is none."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def dropins() -> list[str]:
    """Files that add settings to units of ours, but for those that a trial makes and its end removes."""
    found = []
    for folder in UNIT_FOLDERS:
        for unit in names_in(folder):
            if unit.startswith("loadproof") and unit.endswith(".d"):
                names = [name for name in names_in(f"{folder}/{unit}") if name.endswith(".conf")]
                found += [f"{folder}/{unit}/{name}" for name in names if name != TRIALS.get(folder)]
    return found


def unit_of(pid: int) -> str:
    """The systemd unit of a process, from its cgroup; empty when it is in none."""
    for line in text_of(f"/proc/{pid}/cgroup").splitlines():
        for part in reversed(line.split("/")):
            if part.endswith((".service", ".scope")):
                return part
    return ""


def listeners(ports: list[int]) -> dict[str, str]:
    """Socket inode -> port, for those of the asked ports that somebody listens on."""
    wanted = {f"{port:04X}": str(port) for port in ports}
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table) as lines:
            next(lines)
            for words in map(str.split, lines):
                # Listening sockets come first; after a load 40 000 others follow, which cost 0.15 s to read.
                if words[3] != "0A":
                    break
                if port := wanted.get(words[1].rpartition(":")[2]):
                    found[f"socket:[{words[9]}]"] = port
    return found


def links_of(pid: int) -> set[str]:
    """What the open files of a process are; under a load they come and go while one looks, which hides no other."""
    links = set()
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                links.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return links


def port_facts(ports: list[int]) -> dict[str, dict[str, Any] | None]:
    """Who listens on each port. Several processes may share it (nginx): the oldest is named."""
    facts: dict[str, dict[str, Any] | None] = {str(port): None for port in ports}
    inodes = listeners(ports) if ports else {}
    for port in inodes.values():
        facts[port] = {"pid": 0, "name": "?", "unit": ""}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()) if inodes else []:
        links = links_of(pid)
        for inode in links & inodes.keys():
            seen = facts[inodes[inode]]
            if seen is not None and not seen["pid"]:
                name = text_of(f"/proc/{pid}/comm").strip()
                facts[inodes[inode]] = {"pid": pid, "name": name, "unit": unit_of(pid)}
    return facts


def body_of(asked: dict[str, Any], path: str) -> str | None:
    """Body of GET path from a port of this host; None unless it answers 200 in time."""
    end = time.monotonic() + ANSWER_WITHIN_S
    request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\nX-Loadproof-Id: {HEALTH_ID}\r\n\r\n"
    answer = b""
    try:
        with socket.create_connection(
            (asked.get("address", "127.0.0.1"), asked["port"]), ANSWER_WITHIN_S
        ) as link:
            link.sendall(request.encode())
            while part := link.recv(65536):
                answer += part
                link.settimeout(max(0.001, end - time.monotonic()))
    except OSError:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode("utf-8", "replace") if head.split(b" ")[1:2] == [b"200"] else None


def health_fact(asked: dict[str, Any]) -> dict[str, Any] | None:
    """What /healthz answers; None when it does not."""
    try:
        found = json.loads(body_of(asked, "/healthz") or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def config_fact(asked: dict[str, Any]) -> str | None:
    """The hash that nginx's status server names; None when it does not answer."""
    body = body_of(asked, "/config")
    return None if body is None else body.strip()


def disk_fact(path: str) -> dict[str, int] | None:
    """Free and total space where a path is, or would be, and on which device: equal ones share their space."""
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(path)
    room = os.statvfs(path)
    return {
        "free_kb": room.f_bavail * room.f_frsize // 1024,
        "total_kb": room.f_blocks * room.f_frsize // 1024,
        "device": os.stat(path).st_dev,
    }


def os_release() -> dict[str, str]:
    """The parts of os-release that tell suites apart."""
    found = {}
    for line in (text_of("/etc/os-release") or text_of("/usr/lib/os-release")).splitlines():
        key, _, value = line.partition("=")
        if key in ("ID", "ID_LIKE", "VERSION_ID", "VERSION_CODENAME", "PRETTY_NAME"):
            found[key] = value.strip().strip("\"'")
    return found


def glibc() -> list[int] | None:
    """Version of the C library; None where it is another one (musl)."""
    try:
        words = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        return [int(part) for part in words[1].split(".")[:2]]
    except (ValueError, OSError, IndexError):
        return None


def booted() -> int:
    """When the kernel started, in seconds since the epoch; 0 when it does not say."""
    lines = text_of("/proc/stat").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("btime ")), 0)


def open_trial(trial: dict[str, Any] | None, current: str | None) -> str | None:
    """RUN/TRIAL that programs write for now: trial.json stays after a trial, `current` is turned away when it is sealed."""
    return f"{trial['run']}/{trial['trial']}" if trial and current and trial.get("out") == current else None


def machine_facts() -> dict[str, Any]:
    """What does not depend on the question."""
    from importlib._bootstrap_external import MAGIC_NUMBER  # importlib.util would cost 3 ms more

    system = os.uname()
    try:
        pwd.getpwnam(USER)
        user = True
    except KeyError:
        user = False
    memory = dict(line.split(":") for line in text_of("/proc/meminfo").splitlines() if ":" in line)
    link = f"{VAR}/current"
    current = os.readlink(link) if os.path.islink(link) else None
    return {
        "host": system.nodename,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "python_exe": sys.executable,
        "magic": MAGIC_NUMBER.hex(),
        "machine": system.machine,
        "glibc": glibc(),
        "os": os_release(),
        "boot_id": text_of("/proc/sys/kernel/random/boot_id").strip(),
        "booted_s": booted(),
        "pid1_start": int(text_of("/proc/1/stat").rpartition(")")[2].split()[19]),
        "uid": os.geteuid(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_kb": int(memory.get("MemTotal", "0").split()[0]),
        "kernel": system.release,
        "user": user,
        "lock": json_of(f"{RUN}/lock.json"),
        "current": current,
        "trial": open_trial(json_of(f"{RUN}/trial.json"), current),
    }


def all_of(paths: list[str], folders: bool) -> list[str]:
    """The paths, with what is in a folder in the place of FOLDER/*."""
    found = []
    for path in paths:
        if path.endswith("/*"):
            inside = [f"{path[:-2]}/{name}" for name in names_in(path[:-2])]
            found += [one for one in inside if os.path.isdir(one) == folders]
        else:
            found.append(path)
    return found


def facts(question: dict[str, Any]) -> dict[str, Any]:
    """The whole answer."""
    programs = {name: find_program(name) for name in question.get("programs", [])}
    answer = machine_facts() | tree_facts(all_of(question.get("trees", []), folders=True))
    answer |= {
        "files": {path: file_fact(path) for path in all_of(question.get("files", []), folders=False)},
        "programs": programs,
        "versions": versions(programs),
        "units": unit_facts(question.get("units", [])),
        "dropins": dropins(),
        "ports": port_facts(question.get("ports", [])),
        "health": {str(asked["port"]): health_fact(asked) for asked in question.get("health", [])},
        "config": {str(asked["port"]): config_fact(asked) for asked in question.get("config", [])},
        "disk": {path: disk_fact(path) for path in question.get("disk", [])},
        "folders": {path: folder_fact(path) for path in question.get("folders", OURS)},
    }
    # Last, so that they are as near as can be to the moment of the answer.
    return answer | {"realtime_us": time.time_ns() // 1000, "monotonic_ns": time.monotonic_ns()}


if __name__ == "__main__":
    print(json.dumps(facts(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})))
