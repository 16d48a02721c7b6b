"""Wraps clients of the OpenAI SDK; nothing here imports the SDK before a client is wrapped."""

from convmem.wrap.openai.client import wrap_client

__all__ = ["wrap_client"]
