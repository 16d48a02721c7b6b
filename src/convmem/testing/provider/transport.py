"""HTTP/1.1 on a socket: reads requests, carries out answers, decides nothing.

The server of the standard library, less what a test cannot use: no look-up of host names, no `Date`, no
log, and an end that neither polls nor leaves a thread behind.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from convmem.testing.provider.received import ReceivedRequest, Served

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convmem.testing.provider.answer import Answer

__all__ = ["Application", "Listener"]

_Request: TypeAlias = socket.socket | tuple[bytes, socket.socket]
_JOIN_S = 5.0


class Application(Protocol):
    """What the transport asks of the provider it serves."""

    def respond(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[ReceivedRequest, Answer | None]:
        """Record a request and decide on its answer; None closes the connection without one."""
        ...

    def pause(self, seconds: float) -> bool:
        """Wait; False when the provider was closed meanwhile."""
        ...

    def record(self, served: Served) -> None:
        """Note how an answer ended."""
        ...


class Listener(socketserver.ThreadingTCPServer):
    """A listening socket with a thread that accepts, and one daemon thread per connection."""

    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, host: str, port: int, application: Application) -> None:
        self.application = application
        self._closing = False
        self._live: dict[_Request, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)
        self._acceptor = threading.Thread(target=self._accept, name="convmem-provider", daemon=True)
        self._acceptor.start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.socket.getsockname()[1])

    def stop(self) -> None:
        """Close the listening socket and every connection, and wait for their threads."""
        self._closing = True
        address = self.socket.getsockname()
        with contextlib.suppress(OSError):  # wakes the accepting thread
            socket.create_connection(address[:2], timeout=_JOIN_S).close()
        self._acceptor.join(_JOIN_S)
        self.server_close()
        with self._lock:
            live = dict(self._live)
        for connection in live:
            if isinstance(connection, socket.socket):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        patience = time.monotonic() + _JOIN_S
        for thread in live.values():
            if thread is not threading.current_thread():
                thread.join(max(0.0, patience - time.monotonic()))

    def _accept(self) -> None:
        while not self._closing:
            self.handle_request()

    def verify_request(self, request: _Request, client_address: object) -> bool:  # noqa: ARG002 - inherited
        """Refuse connections made while closing, such as the one that wakes the accepting thread."""
        return not self._closing

    def process_request(self, request: _Request, client_address: object) -> None:
        """Serve a connection on a thread of its own that `stop` can find."""
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        with self._lock:
            self._live[request] = thread
        thread.start()

    def shutdown_request(self, request: _Request) -> None:
        """Close a connection."""
        super().shutdown_request(request)
        with self._lock:
            self._live.pop(request, None)

    def handle_error(self, request: _Request, client_address: object) -> None:  # noqa: ARG002 - inherited
        """Pass over clients that went away; anything else is a bug here and must be seen."""
        with contextlib.suppress(OSError):
            raise  # noqa: PLE0704 - called while the exception is being handled


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _exchange(self) -> None:
        application = cast("Listener", self.server).application
        body = self._read_body()
        if body is None:
            self.close_connection = True
            return
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            known = headers.get(name.lower())
            headers[name.lower()] = value if known is None else f"{known}, {value}"
        request, answer = application.respond(self.command, self.path, headers, body)
        outgoing = _Outgoing(self, application)
        complete = False
        if answer is not None:
            with contextlib.suppress(OSError):
                complete = outgoing.carry_out(answer, request.n)
        if not complete:
            self.close_connection = True
        application.record(
            Served(n=request.n, status=outgoing.status, complete=complete, bytes_sent=outgoing.bytes_sent)
        )

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Answer every method alike; the base class looks for `do_GET` and its like."""
        if name.startswith("do_"):
            return self._exchange
        raise AttributeError(name)

    def _read_body(self) -> bytes | None:
        """Read what Content-Length promises; None when it is not to be had."""
        if self.headers.get("transfer-encoding"):
            self.send_error(411, "Length Required")
            return None
        promised = self.headers.get("content-length", "0")
        if not promised.isdecimal():
            self.send_error(400, "Bad Content-Length")
            return None
        body = self.rfile.read(int(promised))
        return body if len(body) == int(promised) else None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
        """Say nothing."""


class _Outgoing:
    """An answer on its way out, and how far it got."""

    def __init__(self, handler: _Handler, application: Application) -> None:
        self.status: int | None = None
        self.bytes_sent = 0
        self._handler = handler
        self._application = application

    def carry_out(self, answer: Answer, number: int) -> bool:
        """Do what the answer says; True when it went out whole."""
        pause = self._application.pause
        if not pause(answer.delay_s):
            return False
        if answer.status is not None:
            self.status = answer.status
            self._send(self._head(answer, answer.status, number))
            if self._handler.command == "HEAD":
                return True
        chunked = answer.length is None
        for piece in answer.pieces:
            if not pause(piece.pause_s):
                return False
            self._send(b"%x\r\n%b\r\n" % (len(piece.data), piece.data) if chunked else piece.data)
        if not pause(answer.stall_s) or answer.cut:
            return False
        if chunked:
            self._send(b"0\r\n\r\n")
        return True

    def _head(self, answer: Answer, status: int, number: int) -> bytes:
        phrase = self._handler.responses.get(status, ("Unknown",))[0]
        framing = {"transfer-encoding": "chunked"}
        if answer.length is not None:
            framing = {"content-length": str(answer.length)}
        fields = {"x-request-id": f"req_{number:06d}", **framing, **answer.headers}
        if self._handler.close_connection:
            fields["connection"] = "close"
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _send(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self.bytes_sent += len(data)
