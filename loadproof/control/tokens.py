"""Tokens and `~` in values that `ssh -G` prints as they were written, replaced as ssh itself does later."""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Mapping

# %C is no token of ours: what it is a hash of differs between versions of OpenSSH.
FILE = "dhikLlnpru"  # those that IdentityFile may have
WAY = "hnpr"  # those that ProxyCommand and ProxyJump may have
_TOKEN = re.compile(r"%(.?)", re.DOTALL)
_TOKEN_OR_NAME = re.compile(r"%(.?)|\$\{([^}]*)\}?", re.DOTALL)


def me() -> pwd.struct_passwd:
    """Who we are to ssh: the user's entry in passwd, whatever $HOME and $LOGNAME say."""
    return pwd.getpwuid(os.getuid())


def at_home(path: str) -> str:
    """A path with its leading `~` replaced."""
    if path == "~" or path.startswith("~/"):
        return me().pw_dir + path[1:]
    return os.path.expanduser(path)


def values(alias: str, key_alias: str, hostname: str, user: str, port: int) -> dict[str, str]:
    """What each token stands for; `alias` is the name that would be given to ssh on its command line."""
    here = socket.gethostname()
    return {
        "d": me().pw_dir,
        "h": hostname,
        "i": str(os.getuid()),
        "k": key_alias or alias,
        "L": here.partition(".")[0],
        "l": here,
        "n": alias,
        "p": str(port),
        "r": user,
        "u": me().pw_name,
    }


def expand(value: str, known: Mapping[str, str], allowed: str) -> str:
    """A value with its tokens replaced, and in a file's name `~` and ${NAME}. Raises ValueError for other tokens.

    In a command those two are the shell's, to which ssh leaves them.
    """

    def replaced(found: re.Match[str]) -> str:
        text, token = found[0], found[1]
        if token is None and text.endswith("}") and found[2] in os.environ:
            return os.environ[found[2]]
        if token == "%":
            return "%"
        if not token or token not in allowed:
            raise ValueError(f"{text} stands for nothing here")
        return known[token]

    if allowed == FILE:
        return _TOKEN_OR_NAME.sub(replaced, at_home(value))
    return _TOKEN.sub(replaced, value)
