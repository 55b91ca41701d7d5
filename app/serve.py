"""`python -m app.serve`: serves one variant under uvicorn with the witness protocol, as the environment says.

LOADPROOF_DEPLOY_ID, LOADPROOF_VARIANT (plain), LOADPROOF_DATA (Parquet file; not needed by plain), LOADPROOF_HOST
(127.0.0.1), LOADPROOF_PORT (8000), LOADPROOF_OUT (folder or link for the rows). SIGUSR1: go on in a new file in
LOADPROOF_OUT. Exits 64 when a setting is wrong, 3 when the port or LOADPROOF_OUT cannot be used.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.rows import Book

BACKLOG = 4096  # connections the kernel keeps for a busy loop: more than the 1000 users of a large trial
KEEP_ALIVE_S = (
    75  # longer than nginx keeps an idle connection to a backend (60 s): nginx is the one to close it
)


@dataclass(frozen=True)
class Settings:
    """What the environment says."""

    deploy_id: str
    variant: str
    host: str
    port: int
    out: str


def read_settings(environment: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """The settings, and a sentence for each that is wrong."""
    wrong = []
    port = environment.get("LOADPROOF_PORT", "8000")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        wrong.append(f"LOADPROOF_PORT must be a number below 65536, not {port!r}")
        port = "0"
    if not environment.get("LOADPROOF_OUT"):
        wrong.append("LOADPROOF_OUT is not set: the folder that the rows are written to")
    return Settings(
        deploy_id=environment.get("LOADPROOF_DEPLOY_ID") or "none",
        variant=environment.get("LOADPROOF_VARIANT", "plain"),
        host=environment.get("LOADPROOF_HOST", "127.0.0.1"),
        port=int(port),
        out=environment.get("LOADPROOF_OUT", ""),
    ), wrong


def reopen_on_signal(book: Book) -> None:
    """Waits for SIGUSR1 for ever, in a thread of its own: a loop that a handler blocks does not delay it."""
    while True:
        signal.sigwait({signal.SIGUSR1})
        book.reopen()


def ending(book: Book) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """A lifespan that seals the book at its end: not later, because uvicorn ends the process by the signal it got."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        book.close()

    return lifespan


def make_server(settings: Settings, book: Book | None, loop: str) -> Any:
    """A uvicorn server, not started. Without a book nothing is witnessed (timings only)."""
    import uvicorn

    from app.application import build
    from app.witness import WitnessProtocol, protocol_for

    def in_flight() -> int:
        open_now = server.server_state.connections
        return sum(each.in_flight() for each in open_now if isinstance(each, WitnessProtocol))

    app = build(settings.variant, settings.deploy_id, in_flight, lambda: book.lost if book else 0)
    if book:
        app.router.lifespan_context = ending(book)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop=loop,
        http=protocol_for(book) if book else "httptools",
        ws="none",
        access_log=False,
        proxy_headers=False,
        use_colors=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    return server


def main(loop: str = "uvloop", witness: bool = True) -> int:
    """Serves until a signal ends it; the exit code."""
    # before anything slow: until it is blocked, SIGUSR1 would end the process
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    from app.rows import Book, say

    settings, wrong = read_settings(os.environ)
    for sentence in wrong:
        say(sentence)
    if wrong:
        return 64
    from app.application import BadSetting, load

    try:
        load(settings.variant)  # first: a variant that cannot be served leaves no row file
        book = Book(settings.out) if witness else None
    except BadSetting as error:
        say(str(error))
        return 64
    except OSError as error:
        say(f"cannot write rows to LOADPROOF_OUT={settings.out}: {error}")
        return 3
    server = make_server(settings, book, loop)
    if book:
        threading.Thread(target=reopen_on_signal, args=(book,), name="reopen", daemon=True).start()
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
