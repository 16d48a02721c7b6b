"""Roles of chat messages: those that chat APIs have, and what other programs call them."""

from __future__ import annotations

from typing import Final

from convmem.errors import InputError

__all__ = ["ROLES", "known_role", "role_of"]

ROLES: Final = ("user", "assistant", "system", "developer", "tool", "function")
"""The roles of OpenAI's chat API, of which every provider takes some."""

# LangChain, LangSmith: human, ai. Gemini: model. ShareGPT: human, gpt, observation. Open Assistant: prompter.
# Rasa, Botpress and most chat widgets: bot. Cohere's first API: USER, CHATBOT. Letters' case is passed over.
_ALIASES: Final = {
    "ai": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "chatgpt": "assistant",
    "gpt": "assistant",
    "human": "user",
    "llm": "assistant",
    "model": "assistant",
    "observation": "tool",
    "prompter": "user",
    "助手": "assistant",
    "用户": "user",
    "系统": "system",
}


def known_role(role: object) -> str | None:
    """The role of a chat API that a role means; None when it means none."""
    if not isinstance(role, str):
        return None
    if role in ROLES:
        return role
    name = role.strip().casefold()
    return name if name in ROLES else _ALIASES.get(name)


def role_of(role: object, *, where: str) -> str:
    """The role of a chat API that a role means.

    Args:
        role: as somebody gave it.
        where: the message's place, for the error.

    Raises:
        InputError: it means none.
    """
    if not isinstance(role, str) or not role.strip():
        raise InputError(f'{where} has no role; give "user" or "assistant"')
    known = known_role(role)
    if known is None:
        raise InputError(
            f"{where} has the role {role!r:.60}, which no chat API has; give one of {', '.join(ROLES)}, "
            "and who speaks in `name`"
        )
    return known
