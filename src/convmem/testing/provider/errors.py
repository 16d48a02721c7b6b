"""The bodies of errors, in the shape of each dialect."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from convmem.testing.provider.vendors import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convmem.testing.provider.dialect import DialectName, ErrorShape

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
_GLM_CODES = {400: "1214", 401: "1000", 402: "1113", 404: "1211", 429: "1302", 500: "500", 503: "1305"}
_KIMI_TYPES = {
    401: "invalid_authentication_error",
    403: "permission_denied_error",
    404: "resource_not_found_error",
    429: "rate_limit_reached_error",
    500: "server_error",
    503: "engine_overloaded_error",
}
_MINIMAX_TYPES = {401: "authorized_error", 402: "insufficient_balance_error", 429: "rate_limit_error"}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
_DOUBAO = {
    400: ("InvalidParameter", "BadRequest"),
    401: ("AuthenticationError", "Unauthorized"),
    403: ("AccountOverdueError", "Forbidden"),
    404: ("ModelNotOpen", "NotFound"),
    429: ("RateLimitExceeded", "TooManyRequests"),
}
_QWEN_CODES = {400: "invalid_parameter_error", 401: "invalid_api_key", 404: "model_not_found"}
_XAI_CODES = {
    400: "Client specified an invalid argument",
    401: "Unauthenticated: Bad credentials",
    404: "Some requested entity was not found",
    429: "Some resource has been exhausted",
}
_SILICONFLOW_CODES = {400: 20015, 403: 30001, 429: 50603, 503: 50505}


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
    if shape in _BODIES:
        return _BODIES[shape](status, text, given)
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


# The shapes of services that have one of their own: from the status, the text and what replaces its fields.


def _anthropic(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    """As a gateway passes Anthropic's errors on to a client of OpenAI's."""
    kind = _ANTHROPIC_TYPES.get(status, "invalid_request_error")
    return {"error": {"message": text, "type": kind, "param": None, "code": None, **given}}


def _doubao(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    code, kind = _DOUBAO.get(status, ("InternalServiceError", "InternalServerError"))
    said = f"{text} Request id: 02{status:030d}"
    return {"error": {"code": code, "message": said, "param": "", "type": kind, **given}}


def _glm(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": _GLM_CODES.get(status, str(status)), "message": text, **given}}


def _groq(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    kind = _OPENAI_ERRORS.get(status, _OPENAI_ERRORS[400])[0]
    return {"error": {"message": text, "type": kind, **given}}


def _kimi(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    kind = _KIMI_TYPES.get(status, "invalid_request_error")
    return {"error": {"message": text, "type": kind, **given}}


def _minimax(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    kind = _MINIMAX_TYPES.get(status, "bad_request_error" if status < 500 else "api_error")  # noqa: PLR2004
    error = {"type": kind, "message": text, "http_code": str(status), **given}
    return {"type": "error", "error": error, "request_id": "0" * 32}


def _mistral(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    """One object without `error`; what its validator found stands in the message."""
    detail = given.pop("detail", None)
    message = text if detail is None else {"detail": [detail]}
    kind = _OPENAI_ERRORS.get(status, _OPENAI_ERRORS[400])[0]
    body = {"object": "error", "message": message, "type": kind, "param": None, "code": None}
    return {**body, **given}


def _openrouter(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"message": text, "code": status, **given}, "user_id": "user_local"}


def _qwen(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    kind = _OPENAI_ERRORS.get(status, _OPENAI_ERRORS[400])[0]
    code = _QWEN_CODES.get(status, kind)
    error = {"message": text, "type": kind, "param": None, "code": code, **given}
    return {"error": error, "request_id": "0" * 32}


def _siliconflow(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    """No `error` at all."""
    return {"code": _SILICONFLOW_CODES.get(status, status), "message": text, "data": None, **given}


def _together(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    kind = _OPENAI_ERRORS.get(status, _OPENAI_ERRORS[400])[0]
    error = {"message": text, "type": kind, "param": None, "code": None, **given}
    return {"id": "local", "error": error}


def _xai(status: int, text: str, given: dict[str, Any]) -> dict[str, Any]:
    """The text itself is the `error`."""
    return {"code": _XAI_CODES.get(status, "The service is currently unavailable"), "error": text, **given}


_BODIES: Mapping[ErrorShape, Callable[[int, str, dict[str, Any]], dict[str, Any]]] = {
    "anthropic": _anthropic,
    "doubao": _doubao,
    "glm": _glm,
    "groq": _groq,
    "kimi": _kimi,
    "minimax": _minimax,
    "mistral": _mistral,
    "openrouter": _openrouter,
    "qwen": _qwen,
    "siliconflow": _siliconflow,
    "together": _together,
    "xai": _xai,
}
