"""Clients of the OpenAI SDK; nothing here imports it before a client is wrapped."""

from convmem.wrap.openai.client import wrap_client

__all__ = ["wrap_client"]
