"""Does the steps of a plan read from standard input, in order, and stops at the first that fails.

Prints {"done":[{"do","what","changed"}...],"failed":{"what","exit","last_lines"}|null} and exits 0: the caller judges.
Steps:

    {"do":"user"}                                   the system user loadproof
    {"do":"folder","path","mode","owner"}           owner: "root", or "user:group"
    {"do":"file","path","mode","owner","base64"}
    {"do":"remove","path"}                          only what is ours
    {"do":"tree","path","archive","compile"}        archive: .tar.zst, .tar.gz or .tar on this host; removed afterwards
    {"do":"prune","path","keep":[names]}            older trees of a folder, but for the newest other one of each kind
    {"do":"mask","unit"}
    {"do":"package","program","package","folder"}   folder (optional): .debs to install from, instead of any network
    {"do":"unpackage"}                              removes the packages that steps above brought
    {"do":"nginx","path"}                           asks nginx whether this configuration is good
    {"do":"reload"}  {"do":"start"|"stop"|"restart","unit"}

Every file appears whole or not at all: temporary name, sync, mode and owner, rename.
"""

from __future__ import annotations

import base64
import contextlib
import glob
import grp
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

Step = dict[str, Any]

USER = "loadproof"
VAR = "/var/lib/loadproof"
PACKAGES = f"{VAR}/packages.json"
LOCK = "/run/loadproof/lock.json"
TREE_KINDS = ("app", "load", "data")
NGINX_STATE = f"{VAR}/nginx"
OUT_UNIT = "loadproof-out.service"
APT = "/run/loadproof/apt"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TEMPORARY = ".loadproof-new"
LAST_LINES = 20
PACKAGES_WITHIN_S = 600.0
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "APT_LISTCHANGES_FRONTEND": "none"}
APT_GET = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120")
# Others install by one command each; they upgrade nothing that is there unless told to.
OTHERS = {
    "dnf": ("dnf", "install", "-y", "--setopt=install_weak_deps=False"),
    "zypper": ("zypper", "--non-interactive", "install", "--no-recommends"),
    "apk": ("apk", "add"),
}


class Failed(Exception):
    """A step that could not be done: what, with which exit code, and the last lines that were said."""

    def __init__(self, what: str, exited: int, said: str) -> None:
        super().__init__(what)
        self.what, self.exited = what, exited
        self.last_lines = "\n".join(said.strip().splitlines()[-LAST_LINES:])


def attempt(words: list[str], within_s: float = 60.0) -> tuple[int, str]:
    """Run a program; returns its exit code and all that it said."""
    environment = os.environ | QUIET | {"LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:{PATH}"}
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=within_s,
            env=environment,
        )
    except FileNotFoundError:
        return 127, f"no program {words[0]} on this host"
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode("utf-8", "replace") if isinstance(error.stdout, bytes) else error.stdout
        return 124, f"{said or ''}\nnot done after {within_s:.0f} s"
    return done.returncode, done.stdout


def must(what: str, words: list[str], within_s: float = 60.0) -> str:
    """Run a program that has to succeed; returns what it said."""
    exited, said = attempt(words, within_s)
    if exited:
        raise Failed(f"{what}: {' '.join(words)}", exited, said)
    return said


# --- files -----------------------------------------------------------------------------------------------


def ids_of(owner: str) -> tuple[int, int]:
    """User and group id of "user" or "user:group"."""
    name, _, group = owner.partition(":")
    user = pwd.getpwnam(name)
    return user.pw_uid, grp.getgrnam(group).gr_gid if group else user.pw_gid


def plain(path: str) -> str:
    """The path itself, when it is absolute and has no step upwards."""
    if not os.path.isabs(path) or ".." in path.split("/"):
        raise Failed(f"path {path}", 64, "a path must be absolute and without ..")
    return os.path.normpath(path)


def sync_folder(path: str) -> None:
    """Bring the entries of a folder to disk, so that a rename survives a power cut."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def own(path: str, step: Step) -> bool:
    """Give a path its mode and owner; says whether they were others."""
    mode, (uid, gid) = step.get("mode", 0o755), ids_of(step.get("owner", "root"))
    status = os.stat(path)
    if (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (mode, uid, gid):
        return False
    os.chown(path, uid, gid)
    os.chmod(path, mode)
    return True


def do_folder(step: Step) -> bool:
    """A folder with its mode and owner."""
    path = plain(step["path"])
    there = os.path.isdir(path)
    os.makedirs(path, mode=0o755, exist_ok=True)
    return own(path, step) or not there


def same_file(path: str, data: bytes, step: Step) -> bool:
    """Whether the file already is what the step asks for."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return False
    status = os.stat(path)
    owned = (status.st_mode & 0o7777, status.st_uid, status.st_gid)
    return content == data and owned == (step.get("mode", 0o644), *ids_of(step.get("owner", "root")))


def do_file(step: Step) -> bool:
    """A file, whole or not at all."""
    path, data = plain(step["path"]), base64.b64decode(step["base64"], validate=True)
    if same_file(path, data, step):
        return False
    folder, name = os.path.split(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    for left in glob.glob(f"{glob.escape(folder)}/.{glob.escape(name)}.*{TEMPORARY}"):
        os.unlink(left)
    temporary = f"{folder}/.{name}.{os.getpid()}{TEMPORARY}"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(file, "wb") as opened:
            opened.write(data)
            opened.flush()
            own(temporary, {"mode": 0o644} | step)
            os.fsync(opened.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(folder)
    return True


def do_remove(step: Step) -> bool:
    """Remove a file or a folder of ours."""
    path = plain(step["path"])
    # A wrong plan must not cost a host its files: ours all have our name in the path.
    if not any(part.startswith("loadproof") for part in path.split("/")):
        raise Failed(f"remove {path}", 64, "not a path of ours: no part of it begins with loadproof")
    if not os.path.lexists(path):
        return False
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)
        folder = os.path.dirname(path)
        if os.path.basename(folder).startswith("loadproof") and folder.endswith(".d"):
            with contextlib.suppress(OSError):  # of additions to a unit; others may be in it
                os.rmdir(folder)
    return True


# --- trees -----------------------------------------------------------------------------------------------


def unpack(archive: str, into: str) -> None:
    """Unpack an archive with the host's tar, which strips leading slashes and refuses `..`."""
    reader = {".zst": ["zstd", "-dc"], ".gz": ["gzip", "-dc"]}.get(os.path.splitext(archive)[1], ["cat"])
    if shutil.which(reader[0], path=f"{os.environ.get('PATH', '')}:{PATH}") is None:
        raise Failed(f"unpack {archive}", 127, f"no program {reader[0]} on this host")
    tar = ["tar", "-x", "-C", into, "--no-same-owner", "--no-same-permissions"]
    with subprocess.Popen([*reader, archive], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as source:
        done = subprocess.run(tar, stdin=source.stdout, capture_output=True, umask=0o022)
        assert source.stdout and source.stderr
        source.stdout.close()
        said = source.stderr.read() + done.stderr
    if source.returncode or done.returncode:
        raise Failed(
            f"unpack {archive}", source.returncode or done.returncode, said.decode("utf-8", "replace")
        )


def refuse_ways_out(tree: str) -> None:
    """No link of a tree may lead out of it."""
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            target = os.path.realpath(path)
            if os.path.islink(path) and os.path.commonpath(
                (target, os.path.realpath(tree))
            ) != os.path.realpath(tree):
                raise Failed(
                    f"unpack {tree}", 65, f"{os.path.relpath(path, tree)} is a link to {os.readlink(path)}"
                )


def timeless(tree: str) -> None:
    """Set every time of change below a tree to 0, so that facts.py sees whatever is changed there afterwards."""
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            os.utime(os.path.join(folder, name), (0, 0), follow_symlinks=False)


def remove_tree(path: str) -> None:
    """Its mark first: half a tree must not look like one."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}/.complete")
    shutil.rmtree(path, ignore_errors=True)


def do_tree(step: Step) -> bool:
    """A folder shipped whole: unpacked beside its place, compiled, marked complete, renamed.

    One that is there stays, unless the step says `again`: it was changed by somebody else.
    """
    path, archive = plain(step["path"]), plain(step["archive"])
    if os.path.exists(f"{path}/.complete") and not step.get("again"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(archive)
        return False
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    for left in glob.glob(f"{glob.escape(path)}.partial-*"):
        shutil.rmtree(left, ignore_errors=True)
    partial = f"{path}.partial-{os.getpid()}"
    os.mkdir(partial, 0o755)
    try:
        unpack(archive, partial)
        refuse_ways_out(partial)
        if step.get("compile"):
            # Exit 1 means that some file is no Python of this version: packages ship such files as templates.
            exited, said = attempt([sys.executable, "-I", "-m", "compileall", "-q", "-j0", partial], 300)
            if exited not in (0, 1):
                raise Failed(f"compile {path}", exited, said)
        timeless(partial)
        with open(f"{partial}/.complete", "w") as file:
            os.fsync(file.fileno())
        remove_tree(path)
        os.rename(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_folder(os.path.dirname(path))
    os.unlink(archive)
    return True


def do_prune(step: Step) -> bool:
    """Remove trees that are not wanted, but for the newest one of each kind, so that going back is quick.

    Nothing is removed while somebody holds the host: a trial may run from such a tree.
    """
    folder, older = plain(step["path"]), dict[str, list[tuple[int, str]]]()
    if os.path.exists(LOCK) or not os.path.isdir(folder):
        return False
    for name in os.listdir(folder):
        kind, _, digest = name.partition("-")
        complete = f"{folder}/{name}/.complete"
        # Others are none of ours, or are being unpacked just now.
        if kind in TREE_KINDS and digest.isalnum() and name not in step["keep"] and os.path.exists(complete):
            older.setdefault(kind, []).append((os.stat(complete).st_mtime_ns, name))
    gone = [name for trees in older.values() for _, name in sorted(trees)[:-1]]
    for name in gone:
        remove_tree(f"{folder}/{name}")
    return bool(gone)


# --- packages --------------------------------------------------------------------------------------------


def brought() -> list[dict[str, Any]]:
    """The packages that we installed on this host."""
    try:
        with open(PACKAGES) as file:
            return list(json.load(file)["packages"])
    except (OSError, ValueError, KeyError):
        return []


def record(packages: list[dict[str, Any]]) -> None:
    """Replace the list of packages that we installed."""
    data = json.dumps({"packages": packages}, indent=1).encode()
    do_file({"path": PACKAGES, "mode": 0o644, "owner": "root", "base64": base64.b64encode(data)})


def index_of(folder: str) -> str:
    """The index that apt wants beside a folder of .debs, from what each says of itself."""
    entries = []
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".deb")):
        path = f"{folder}/{name}"
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        fields = must(f"read {path}", ["dpkg-deb", "--field", path]).strip()
        entries.append(f"{fields}\nFilename: ./{name}\nSize: {os.path.getsize(path)}\nSHA256: {digest}\n")
    if not entries:
        raise Failed(f"packages from {folder}", 66, "no .deb files there")
    return "\n".join(entries)


def local_repository(folder: str) -> list[str]:
    """Options that make apt see a folder of .debs and nothing else; the host's own lists are not touched."""
    shutil.rmtree(APT, ignore_errors=True)
    for name in ("repository", "lists/partial", "cache/archives/partial"):
        os.makedirs(f"{APT}/{name}", mode=0o755)
    for name in os.listdir(folder):
        if name.endswith(".deb"):
            os.symlink(f"{os.path.realpath(folder)}/{name}", f"{APT}/repository/{name}")
    with open(f"{APT}/repository/Packages", "w") as file:
        file.write(index_of(f"{APT}/repository"))
    with open(f"{APT}/sources.list", "w") as file:
        file.write(f"deb [trusted=yes] file:{APT}/repository ./\n")
    places = {
        "Dir::Etc::sourcelist": f"{APT}/sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": f"{APT}/lists",
        "Dir::Cache": f"{APT}/cache",
        "APT::Sandbox::User": "root",
    }
    return [word for key, value in places.items() for word in ("-o", f"{key}={value}")]


def planned(said: str) -> tuple[list[str], list[str]]:
    """From apt's simulation: the packages it would bring, and those there already that it would upgrade."""
    lines = [line.split() for line in said.splitlines() if line.startswith("Inst ")]
    upgrades = [words[1] for words in lines if words[2].startswith("[")]
    return [words[1] for words in lines if not words[2].startswith("[")], upgrades


def apt_install(package: str, folder: str | None) -> list[str]:
    """Install with apt-get; returns all packages that came with it."""
    if folder and not os.path.isdir(folder):
        raise Failed(f"package {package} from {folder}", 66, "no such folder on this host")
    options = local_repository(folder) if folder else []
    if folder:
        must(f"packages from {folder}", [*APT_GET, *options, "update"])
    install = [
        *APT_GET,
        *options,
        "install",
        "--no-upgrade",
        "--no-remove",
        "--no-install-recommends",
        package,
    ]
    exited, said = attempt([*install, "--simulate"], 120)
    if exited and not folder:
        # A host that never asked for lists, or has old ones, does not know the package.
        must("apt-get update", [*APT_GET, "update"], PACKAGES_WITHIN_S)
        exited, said = attempt([*install, "--simulate"], 120)
    if exited:
        raise Failed(f"package {package}", exited, said)
    new, upgrades = planned(said)
    if upgrades:
        raise Failed(f"package {package}", 65, f"it would upgrade what is there: {' '.join(upgrades)}")
    before = brought()
    # Recorded first: a host that dies in the middle still knows what came from us.
    record(before + [{"name": name, "for": package, "realtime_us": time.time_ns() // 1000} for name in new])
    exited, said = attempt(install, PACKAGES_WITHIN_S)
    if exited:
        record(before)
        raise Failed(f"package {package}", exited, said)
    return new


def other_install(package: str) -> list[str]:
    """Install with the host's package manager where that is not apt."""
    for manager, words in OTHERS.items():
        if shutil.which(manager, path=PATH):
            must(f"package {package}", [*words, package], PACKAGES_WITHIN_S)
            record([*brought(), {"name": package, "for": package, "realtime_us": time.time_ns() // 1000}])
            return [package]
    known = ", ".join(("apt-get", *OTHERS))
    raise Failed(
        f"package {package}", 127, f"no package manager that we know on this host ({known}): install it"
    )


def do_package(step: Step) -> bool:
    """The package that brings a program, unless the program is there."""
    program, package = step["program"], step["package"]
    if shutil.which(program, path=PATH):
        return False
    if shutil.which("apt-get", path=PATH):
        apt_install(package, step.get("folder"))
    else:
        other_install(package)
    if not shutil.which(program, path=PATH):
        raise Failed(f"package {package}", 1, f"installed, but it brought no program {program}")
    return True


def removed(said: str) -> list[str]:
    """From apt's simulation: the packages it would remove."""
    lines = [line.split() for line in said.splitlines() if line.startswith(("Remv ", "Purg "))]
    return [words[1].partition(":")[0] for words in lines]


def refuse_others(names: list[str]) -> None:
    """Something installed since may need what we brought: it would go as well, so nothing is removed."""
    if shutil.which("apt-get", path=PATH):
        said = must("remove packages", [*APT_GET, "purge", "--no-auto-remove", "--simulate", *names], 120)
        if others := [name for name in removed(said) if name not in names]:
            raise Failed("remove packages", 65, f"these need them and would go as well: {' '.join(others)}")
    elif shutil.which("rpm", path=PATH):
        there = [name for name in names if not attempt(["rpm", "-q", name])[0]]
        if there:
            must("remove packages", ["rpm", "-e", "--test", *there])


def do_unpackage(step: Step) -> bool:
    """Remove the packages that we brought, and nothing else."""
    names = [entry["name"] for entry in brought()]
    if not names:
        return False
    refuse_others(names)
    if shutil.which("apt-get", path=PATH):
        must("remove packages", [*APT_GET, "purge", "--no-auto-remove", *names], PACKAGES_WITHIN_S)
    else:
        manager = next(name for name in OTHERS if shutil.which(name, path=PATH))
        removal = {"apk": ["apk", "del"], "zypper": ["zypper", "--non-interactive", "remove"]}
        must("remove packages", [*removal.get(manager, ["dnf", "remove", "-y"]), *names], PACKAGES_WITHIN_S)
    os.unlink(PACKAGES)
    return True


# --- user and units --------------------------------------------------------------------------------------


def do_user(step: Step) -> bool:
    """The system user that runs app and load, without a login."""
    with contextlib.suppress(KeyError):
        pwd.getpwnam(USER)
        return False
    if shutil.which("useradd", path=PATH):
        words = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", VAR]
        must(f"user {USER}", [*words, "--shell", "/usr/sbin/nologin", USER])
    else:
        must(f"user {USER}", ["adduser", "-S", "-D", "-H", "-h", VAR, "-s", "/sbin/nologin", USER])
    return True


def do_mask(step: Step) -> bool:
    """Keep a unit from starting by itself. One that is on the host already is the host's own: left alone."""
    unit = step["unit"]
    shown = must(f"mask {unit}", ["systemctl", "show", "--property=LoadState", "--value", unit]).strip()
    if shown != "not-found":
        return False
    must(f"mask {unit}", ["systemctl", "mask", "--runtime", unit])
    return True


def do_reload(step: Step) -> bool:
    """Let systemd read the unit files again."""
    must("reload", ["systemctl", "daemon-reload"])
    return True


def do_nginx(step: Step) -> bool:
    """Ask nginx whether it can start with a configuration; a failure carries what it said, with file and line."""
    # What it names must be there, as when our unit starts: the folders of its logs and of its temporary files.
    must(f"start {OUT_UNIT}", ["systemctl", "start", OUT_UNIT])
    os.makedirs(NGINX_STATE, mode=0o755, exist_ok=True)
    exited, said = attempt(["nginx", "-t", "-c", plain(step["path"])])
    if exited:
        raise Failed(f"nginx -t -c {step['path']}", exited, said)
    return False


def do_unit(step: Step) -> bool:
    """Start, stop or restart a unit; a failure carries what the unit said last."""
    verb, unit = step["do"], step["unit"]
    exited, said = attempt(["systemctl", verb, unit], 30)
    if exited:
        _, last = attempt(
            ["journalctl", "--unit", unit, "--lines", "15", "--output", "cat", "--no-pager"], 10
        )
        raise Failed(f"{verb} {unit}", exited, f"{said}\n{last}")
    return True


STEPS: dict[str, Callable[[Step], bool]] = {
    "user": do_user,
    "folder": do_folder,
    "file": do_file,
    "remove": do_remove,
    "tree": do_tree,
    "prune": do_prune,
    "mask": do_mask,
    "package": do_package,
    "unpackage": do_unpackage,
    "reload": do_reload,
    "nginx": do_nginx,
    "start": do_unit,
    "stop": do_unit,
    "restart": do_unit,
}


def name_of(step: Step) -> str:
    """What a step is about, for people."""
    return str(next((step[key] for key in ("path", "unit", "package") if key in step), USER))


def install(steps: list[Step]) -> dict[str, Any]:
    """Do the steps in order; the first that fails ends it."""
    done: list[dict[str, Any]] = []
    for step in steps:
        what = f"{step.get('do')} {name_of(step)}"
        failed: dict[str, Any] | None = None
        try:
            changed = STEPS[step["do"]](step)
        except Failed as error:
            failed = {"what": error.what, "exit": error.exited, "last_lines": error.last_lines}
        except (OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
            said = f"{type(error).__name__}: {error}"
            failed = {"what": what, "exit": getattr(error, "errno", None) or 1, "last_lines": said}
        if failed:
            return {"done": done, "failed": failed}
        done.append({"do": step["do"], "what": name_of(step), "changed": changed})
    return {"done": done, "failed": None}


if __name__ == "__main__":
    plan = json.load(sys.stdin)
    print(json.dumps(install(plan["steps"] if isinstance(plan, dict) else plan)))
