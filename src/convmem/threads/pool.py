"""Threads that work in the background and never keep the process from ending."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pool"]

T = TypeVar("T")


class Pool:
    """A few daemon threads and a queue.

    The standard library's executor joins its threads at exit: an embedder that hangs would hang the process.

    Args:
        name: what its threads are called.
        threads: the most of them; they start when they are needed.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._most = threads
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child, where the threads are gone."""
        self._queue: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Do this soon."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if len(self._threads) < self._most:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # the machine gives no more threads, or Python is ending
                    if not self._threads:
                        future.set_exception(error)
                        return future
                else:
                    self._threads.append(thread)
        self._queue.put((future, work))
        return future

    def close(self) -> None:
        """End the threads once they have nothing left to do; waits for none."""
        with self._lock:
            for _ in self._threads:
                self._queue.put(None)
            self._threads.clear()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            future, work = item
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 (handed to whoever waits)
                future.set_exception(error)
            del item, future, work  # a thread that waits holds nothing
