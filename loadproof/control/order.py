"""Nothing is sent on a channel behind the CLOSE with which it ends.

A host's CLOSE is answered by a thread of paramiko's. What another one has ready by then, and sends only after it gave
the channel's lock back (paramiko may not send under it, keys may be exchanged), goes out behind our CLOSE. By then the
host has forgotten the channel: sshd ends the whole connection over it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import paramiko
from paramiko.common import MSG_CHANNEL_CLOSE


def sending(channel: Any) -> AbstractContextManager[None]:
    """Whatever the block sends on a channel of an OrderedTransport goes out before its CLOSE. One block at a time."""
    block: AbstractContextManager[None] = channel.get_transport().sending(channel)
    return block


def _closed(channel: Any, message: paramiko.Message) -> None:
    channel.get_transport().answer_close(channel, message)


class OrderedTransport(paramiko.Transport):
    """A transport whose channels are not closed by the host in the middle of a `sending` block: nobody waits, the
    answer is left to the thread that sends."""

    _channel_handler_table = {**paramiko.Transport._channel_handler_table, MSG_CHANNEL_CLOSE: _closed}  # type: ignore[attr-defined]

    def __init__(self, sock: Any, **options: Any) -> None:
        super().__init__(sock, **options)
        self._order = threading.Lock()
        self._senders: dict[int, paramiko.Message | None] = {}  # by channel: the CLOSE that came meanwhile

    def answer_close(self, channel: Any, message: paramiko.Message) -> None:
        """The host closed a channel: answer now, or when what is being sent there has gone out."""
        with self._order:
            if channel.chanid in self._senders:
                self._senders[channel.chanid] = message
                return
        channel._handle_close(message)

    @contextmanager
    def sending(self, channel: Any) -> Iterator[None]:
        """See the function of that name."""
        with self._order:
            self._senders[channel.chanid] = None
        try:
            yield
        finally:
            with self._order:
                message = self._senders.pop(channel.chanid)
            if message is not None:
                channel._handle_close(message)
