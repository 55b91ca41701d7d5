"""The `client` of our users: Locust's FastHttpSession with an id, one deadline and one row for every request."""

# Locust is not in the environment that checks types: its classes are Any there.
# mypy: disable-error-code="misc"
from __future__ import annotations

import errno
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Protocol

from gevent import Timeout
from geventhttpclient._parser import HTTPParseError
from geventhttpclient.response import HTTPConnectionClosed
from locust.contrib.fasthttp import (
    FastHttpSession,
    FastResponse,
    LocustBadStatusCode,
    LocustUserAgent,
    ResponseContextManager,
)
from locust.exception import ResponseError

from loadtests import recorder
from loadtests.oneshot import Attempt, OneShotPool

ID_HEADER = "X-Loadproof-Id"
BROKEN = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)


class Witness(Protocol):
    """What a session needs of its Locust worker: ids, and a place for what happened.

    `record` writes the row of a request: (attempt, error class, name for class `other`, number of the user).
    """

    timeout_s: float
    next_id: Callable[[], int]
    record: Callable[[Attempt, int, str, int], None]

    def missed(self, attempt: Attempt, error: int) -> None:
        """Count a request that failed on the wire or was cut off."""


def classify(failure: BaseException, attempt: Attempt) -> tuple[int, str]:
    """Error class of a request that failed on the wire, and the name that class `other` carries."""
    if isinstance(failure, LocustBadStatusCode):
        return recorder.HTTP, ""
    if isinstance(failure, Timeout | TimeoutError):
        return (recorder.TIMEOUT if attempt.port else recorder.CONNECT_TIMEOUT), ""
    if isinstance(failure, ConnectionRefusedError):
        return recorder.REFUSED, ""
    if isinstance(failure, HTTPConnectionClosed):
        # The library turns a reset before the first byte into its own exception, and keeps the cause.
        cause = failure.__context__
        return (
            recorder.RESET if isinstance(cause, OSError) and cause.errno in BROKEN else recorder.CLOSED
        ), ""
    if isinstance(failure, HTTPParseError) and attempt.server_closed:
        return recorder.CLOSED, ""
    if isinstance(failure, OSError) and failure.errno in BROKEN:
        return recorder.RESET, ""
    if type(failure) is OSError and failure.errno:
        return recorder.OTHER, errno.errorcode.get(failure.errno, "OSError")
    return recorder.OTHER, type(failure).__name__


class Agent(LocustUserAgent):
    """Locust's user agent without retries and redirects: one request, and its whole body."""

    def urlopen(
        self,
        url: str,
        method: str = "GET",
        headers: Any = None,
        payload: Any = None,
        params: Any = None,
        files: Any = None,
        attempt: Attempt | None = None,
    ) -> FastResponse:
        """Send one request and read its answer to the end. Raises what FastHttpSession counts as failures."""
        merged = self.default_headers.copy()
        merged.update(headers or {})
        request = self._make_request(url, method, headers=merged, payload=payload, params=params, files=files)
        if self.cookiejar._cookies:
            self.cookiejar.add_cookie_header(request)
        client = self.clientpool.get_client(request.url_split)
        uri = request.url_split.quoted_uri
        raw = client.request(
            request.method, uri, body=request.payload, headers=request.headers, attempt=attempt
        )
        if attempt is not None:
            attempt.status = raw.get_code()
        response = FastResponse(raw, request=request, sent_request=raw._sent_request)
        if "set-cookie" in response.headers:
            self.cookiejar.extract_cookies(response, request)
        response.content  # noqa: B018  the property reads the body, here, under the deadline
        if raw.get_code() not in self.valid_response_codes:
            failure = LocustBadStatusCode(url, code=raw.get_code())
            failure.response = response
            raise failure
        return response


class Answer(ResponseContextManager):
    """The answer of a request made with `catch_response=True`: the scenario has the last word on it."""

    def __init__(self, response: ResponseContextManager, session: Session, attempt: Attempt) -> None:
        super().__init__(response, session.request_event, response.request_meta, True)
        self._session = session
        self.attempt = attempt
        self.reported = False

    def __exit__(self, exc: Any, value: Any, traceback: Any) -> Any:
        """Report the request whatever happens in the block: a request without a row would be a gap."""
        swallowed = super().__exit__(exc, value, traceback)
        if not self.reported:
            if isinstance(value, Exception):
                self.request_meta["exception"] = ResponseError(f"{type(value).__name__}: {value}")
            self._report_request()
        return swallowed

    def _report_request(self) -> None:
        if not self.reported:
            self.reported = True
            self._session.report(self.request_meta, self.attempt)


class Session(FastHttpSession):
    """Does one request at a time for one user: counts, times, bounds and records it."""

    def __init__(self, base_url: str, request_event: Any, user: Any, witness: Witness) -> None:
        pool = OneShotPool(connection_timeout=None, network_timeout=None, insecure=True)
        super().__init__(base_url, request_event, user)
        self.client = Agent(cookiejar=self.cookiejar, insecure=True, client_pool=pool)
        self._witness = witness
        self._record = witness.record
        self._number: int = user.number
        self._open: Answer | None = None

    def request(
        self,
        method: str,
        url: str,
        name: str | None = None,
        catch_response: bool = False,
        stream: bool = False,
        headers: dict[str, str] | None = None,
        allow_redirects: bool = False,
        **kwargs: Any,
    ) -> Any:
        """As FastHttpSession.request; redirects are never followed, and `stream` is refused: see `timeout`."""
        if stream:
            raise ValueError("stream=True: a request is timed and bounded to the last byte of its body")
        self.settle()
        attempt = Attempt(self._witness.next_id(), name or self.request_name or url, self.user.slept_us())
        attempt.intended_ns = self.user.due_ns()
        marked = dict(headers) if headers else {}
        marked[ID_HEADER] = f"{attempt.id:016x}"
        attempt.start_ns = monotonic_ns()
        deadline = Timeout.start_new(self._witness.timeout_s)
        try:
            response = super().request(
                method, url, name=name, catch_response=True, headers=marked, attempt=attempt, **kwargs
            )
        except Exception as error:
            self._broken(method, attempt, error)
            raise
        except BaseException:  # GreenletExit: our own stop
            attempt.end_ns = monotonic_ns()
            self._witness.missed(attempt, recorder.CUT)
            self._record(attempt, recorder.CUT, "", self._number)
            raise
        finally:
            deadline.close()
        attempt.end_ns = monotonic_ns()
        attempt.failure = response.request_meta["exception"]
        if catch_response:
            self._open = Answer(response, self, attempt)
            return self._open
        response._catch_response = False
        self.report(response.request_meta, attempt)
        return response

    def report(self, meta: dict[str, Any], attempt: Attempt) -> None:
        """Write the row of a request that ended, then tell Locust, which counts it."""
        if self._open is not None and self._open.attempt is attempt:
            self._open = None
        error, error_name = recorder.OK, ""
        if attempt.failure is not None:
            error, error_name = classify(attempt.failure, attempt)
            self._witness.missed(attempt, error)
        if meta["exception"] is None:
            if error == recorder.HTTP:  # a whole answer, which the scenario calls good
                error = recorder.OK
            elif error != recorder.OK:  # no scenario can call good what never came whole
                meta["exception"] = attempt.failure
        elif attempt.failure is None:  # what happened on the wire says more than what the scenario calls it
            error = recorder.SCENARIO
        if attempt.intended_ns:
            meta["response_time"] = (attempt.end_ns - attempt.intended_ns) / 1e6
        self._record(attempt, error, error_name, self._number)
        self.request_event.fire(**meta)

    def settle(self) -> None:
        """Report an answer that the scenario asked for with `catch_response` and never looked at. One that is being looked
        at (`with`) is reported when that ends, whatever is requested meanwhile."""
        if self._open is not None and not self._open._entered:
            self._open._report_request()

    def _broken(self, method: str, attempt: Attempt, error: Exception) -> None:
        attempt.end_ns = monotonic_ns()
        attempt.failure = error
        meta: dict[str, Any] = {
            "request_type": method,
            "name": attempt.name,
            "context": {},
            "response": None,
            # Locust keeps one line per text: that of a gevent Timeout has the address of the object in it
            "exception": TimeoutError("no whole answer in time") if isinstance(error, Timeout) else error,
            "response_time": (attempt.end_ns - attempt.start_ns) / 1e6,
            "response_length": 0,
        }
        self.report(meta, attempt)
