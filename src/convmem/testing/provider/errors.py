"""The bodies of errors, in the shape of each dialect."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from convmem.testing.provider.dialect import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convmem.testing.provider.dialect import DialectName

__all__ = ["error_body"]

# By status: the type, the code and the message.
_OPENAI_ERRORS: Mapping[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    402: ("insufficient_quota", "insufficient_quota", "You have no credit left."),
    403: ("request_forbidden", "unsupported_country_region_territory", "Access denied."),
    404: ("invalid_request_error", "not_found", "Not found."),
    405: ("invalid_request_error", "method_not_supported", "This method is not supported here."),
    422: ("invalid_request_error", None, "The parameters are not valid."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", "service_unavailable", "The engine is currently overloaded, try again later."),
}
_DEEPSEEK_ERRORS: Mapping[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", "invalid_request_error", "The request is not valid."),
    401: ("authentication_error", "invalid_request_error", "Authentication Fails, the api key is invalid."),
    402: ("unknown_error", "invalid_request_error", "Insufficient Balance"),
    422: ("invalid_request_error", "invalid_request_error", "The parameters are not valid."),
    429: ("rate_limit_error", "rate_limit_exceeded", "Too many concurrent requests."),
    503: ("service_unavailable_error", "service_unavailable", "Service is too busy."),
}
_GEMINI_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_LLAMA_CPP_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    500: "server_error",
    503: "unavailable_error",
}
_OLLAMA_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
_VLLM_TYPES = {400: "BadRequestError", 404: "NotFoundError"}


def error_body(
    status: int, message: str | None, dialect: DialectName, error: Mapping[str, object] | None = None
) -> dict[str, Any] | list[dict[str, Any]]:
    """Build an error with the type and code usual for the status.

    Args:
        status: the HTTP status.
        message: the text; None for the usual one.
        dialect: whose shape, types and codes.
        error: fields that replace or extend the derived ones; `param` only where the dialect has it.
    """
    shape = DIALECTS[dialect].errors
    table = {**_OPENAI_ERRORS, **_DEEPSEEK_ERRORS} if shape == "deepseek" else _OPENAI_ERRORS
    fallback = 500 if status >= 500 else 400  # noqa: PLR2004 - the HTTP classes of errors
    kind, code, usual = table.get(status, table[fallback])
    text = usual if message is None else message
    given = dict(error or {})
    if shape == "gemini":
        given.pop("param", None)
        name = _GEMINI_STATUSES.get(status, "UNKNOWN")
        return [{"error": {"code": status, "message": text, "status": name, **given}}]
    if shape == "llama.cpp":
        given.pop("param", None)
        return {
            "error": {"code": status, "message": text, "type": _LLAMA_CPP_TYPES.get(status, kind), **given}
        }
    if shape == "nvidia":
        return _nvidia(status, text)
    fields: dict[str, Any] = {"message": text, "type": kind, "param": None, "code": code}
    if shape == "vllm":
        fields |= {"type": _VLLM_TYPES.get(status, "InternalServerError"), "code": status}
    if shape == "ollama":
        fields |= {"type": _OLLAMA_TYPES.get(status, "api_error"), "code": None}
    return {"error": {**fields, **given}}


def _nvidia(status: int, text: str) -> dict[str, Any]:
    """A bare text for requests that are not legal, problem details for the rest."""
    if status == HTTPStatus.BAD_REQUEST:
        return {"error": text}
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
    kind = f"urn:inference-service:problem-details:{phrase.lower().replace(' ', '-')}"
    return {"type": kind, "title": phrase, "status": status, "detail": text}
