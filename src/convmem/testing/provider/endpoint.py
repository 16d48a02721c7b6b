"""The seam along which the local provider grows: one `Endpoint` for each part of the API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from convmem.testing.provider.answer import Answer, error_answer
from convmem.testing.provider.shapes import is_object
from convmem.testing.provider.wording import refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convmem.testing.provider.dialect import Dialect, DialectName
    from convmem.testing.provider.problem import Problem
    from convmem.testing.provider.received import ReceivedRequest
    from convmem.testing.provider.wording import Refusal

__all__ = ["Endpoint", "body_refusal", "deployment_of", "illegal", "path_pattern", "refused"]

# OpenAI and most others; DeepSeek's beta; Azure, new and old. DeepSeek also answers without any prefix.
_PREFIX = r"(?:/v1|/beta|/openai(?:/v1|/deployments/(?P<deployment>[^/]+))?)?"


class Endpoint(Protocol):
    """One part of the API: it knows its paths and answers the requests that come in on them."""

    @property
    def name(self) -> str:
        """The name that `ReceivedRequest.endpoint` and `LocalProvider.hold` use."""
        ...

    @property
    def method(self) -> str:
        """The one HTTP method it takes."""
        ...

    def matches(self, path: str) -> bool:
        """Say whether a path, without its query, is one of this endpoint's."""
        ...

    def accept(self, request: ReceivedRequest) -> Callable[[], Answer]:
        """Take a request whose method and authorization are in order.

        Called in order of arrival, one request at a time: the place to take from a script. What it returns
        is called at once on the connection's own thread: the place for everything that takes time.
        """
        ...


def path_pattern(tail: str) -> re.Pattern[str]:
    """Compile a pattern for the paths that end in `tail`, behind any prefix that providers use."""
    return re.compile(_PREFIX + tail)


def deployment_of(path: str) -> str | None:
    """Return the deployment that an Azure path names."""
    match = re.match(r"/openai/deployments/([^/]+)/", path)
    return unquote(match[1]) if match else None


def illegal(problems: Sequence[Problem], dialect: Dialect) -> Answer:
    """Refuse a request for what is wrong with it, as its vendor does."""
    return refused(refusal_of(problems, dialect), dialect)


def refused(refusal: Refusal, dialect: Dialect) -> Answer:
    """Answer with a refusal, in the dialect's shape."""
    return error_answer(refusal.status, refusal.text, dialect.name, error=refusal.error)


def body_refusal(request: ReceivedRequest, dialect: DialectName) -> Answer | None:
    """Refuse a body that is not a JSON object."""
    if request.json_error is not None:
        return error_answer(400, request.json_error, dialect)
    if not is_object(request.json):
        return error_answer(400, "the body must be a JSON object", dialect)
    return None
