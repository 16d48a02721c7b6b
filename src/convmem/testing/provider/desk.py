"""Where requests are numbered, recorded, sent to their endpoint, and held back."""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TypeVar

from convmem.testing.provider.answer import Answer, error_answer
from convmem.testing.provider.received import ReceivedRequest, Served, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from types import TracebackType

    from convmem.testing.provider.endpoint import Endpoint
    from convmem.testing.provider.vendors import Rules

__all__ = ["Desk", "Hold"]

_T = TypeVar("_T")


class Hold:
    """Keeps answers back until it is released; made by `LocalProvider.hold`, usable in a `with`."""

    def __init__(self, endpoints: frozenset[str], release: Callable[[Hold], None]) -> None:
        self._endpoints = endpoints
        self._release = release

    def covers(self, endpoint: str | None) -> bool:
        """Say whether answers of this endpoint are kept back."""
        return not self._endpoints or endpoint in self._endpoints

    def release(self) -> None:
        """Let the answers go; doing it twice is fine."""
        self._release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Desk:
    """The state of a running provider, shared by the threads of its connections.

    One lock guards it. It is held while a request is numbered and takes its outcome from a script, so that
    both happen in the same order, and never while an answer is made or sent.
    """

    def __init__(self, endpoints: Sequence[Endpoint], rules: Rules, clock: Callable[[], float]) -> None:
        self._endpoints = tuple(endpoints)
        self._rules = rules
        self._clock = clock
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._requests: list[ReceivedRequest] = []
        self._served: list[Served] = []
        self._holds: list[Hold] = []

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep requests from being taken meanwhile."""
        with self._changed:
            yield

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closing.is_set()

    def close(self) -> None:
        """End every wait and every hold; answers that are not out are dropped."""
        with self._changed:
            self._closing.set()
            self._changed.notify_all()

    def respond(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[ReceivedRequest, Answer | None]:
        """Record a request and make its answer, or None when the provider was closed meanwhile."""
        path, _, query = target.partition("?")
        endpoint = next((each for each in self._endpoints if each.matches(path)), None)
        value, trouble = parse_json(body) if body else (None, "the body is empty")
        with self._changed:
            request = ReceivedRequest(
                n=len(self._requests) + 1,
                method=method,
                path=path,
                query=query,
                headers=headers,
                body=body,
                json=value,
                json_error=trouble,
                at=self._clock(),
                endpoint=endpoint.name if endpoint else None,
            )
            make = self._accept(request, endpoint)
            self._requests.append(request)
            self._changed.notify_all()
        answer = self._make(make, request)
        return request, answer if self._wait_for_release(request.endpoint) else None

    def pause(self, seconds: float) -> bool:
        """Wait; False when the provider was closed meanwhile."""
        if seconds <= 0:
            return not self._closing.is_set()
        return not self._closing.wait(None if math.isinf(seconds) else seconds)

    def record(self, served: Served) -> None:
        """Note how an answer ended."""
        with self._changed:
            self._served.append(served)
            self._changed.notify_all()

    def requests(
        self, n: int = 0, timeout: float = 0.0, endpoint: str | None = None
    ) -> tuple[ReceivedRequest, ...]:
        """Return the requests so far, of one endpoint or all, once there are `n`."""

        def arrived() -> tuple[ReceivedRequest, ...]:
            return tuple(each for each in self._requests if endpoint in (None, each.endpoint))

        return self._wait(arrived, n, timeout, "requests arrived")

    def served(self, n: int = 0, timeout: float = 0.0) -> tuple[Served, ...]:
        """Return how the answers ended so far, once `n` have."""
        return self._wait(lambda: tuple(self._served), n, timeout, "answers ended")

    def hold(self, endpoints: frozenset[str]) -> Hold:
        """Keep answers back from now on."""
        hold = Hold(endpoints, self._release)
        with self._changed:
            self._holds.append(hold)
        return hold

    def _release(self, hold: Hold) -> None:
        with self._changed:
            if hold in self._holds:
                self._holds.remove(hold)
            self._changed.notify_all()

    def _accept(self, request: ReceivedRequest, endpoint: Endpoint | None) -> Callable[[], Answer]:
        """Refuse what no endpoint should see, and let the endpoint take the rest."""
        dialect = self._rules.of(request.fields.get("model")).name
        if endpoint is None:
            message = f"Invalid URL ({request.method} {request.path})"
            refusal = error_answer(404, message, dialect)
        elif request.method != endpoint.method:
            message = f"Not allowed to {request.method} on {request.path}"
            refusal = error_answer(405, message, dialect, headers={"allow": endpoint.method})
        elif not _is_authorized(request):
            refusal = error_answer(401, "You didn't provide an API key.", dialect)
        else:
            return endpoint.accept(request)
        return lambda: refusal

    def _make(self, make: Callable[[], Answer], request: ReceivedRequest) -> Answer:
        """Make an answer; a responder of the user's that raises is told to the client, who must not retry."""
        try:
            return make()
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything
            message = f"the responder raised {type(error).__name__}: {error}"
            headers = {"x-should-retry": "false"}
            dialect = self._rules.of(request.fields.get("model")).name
            return error_answer(500, message, dialect, headers=headers, error={"code": "responder_raised"})

    def _wait_for_release(self, endpoint: str | None) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing.is_set() or not any(hold.covers(endpoint) for hold in self._holds)
            )
            return not self._closing.is_set()

    def _wait(self, seen: Callable[[], tuple[_T, ...]], n: int, timeout: float, what: str) -> tuple[_T, ...]:
        with self._changed:
            if not self._changed.wait_for(lambda: len(seen()) >= n, timeout):
                raise TimeoutError(f"{len(seen())} of {n} {what} within {timeout} s")
            return seen()


def _is_authorized(request: ReceivedRequest) -> bool:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return True
    return request.path.startswith("/openai/") and bool(request.headers.get("api-key"))
