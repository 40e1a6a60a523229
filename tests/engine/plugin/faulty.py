"""A loopback proxy before an S3 server that counts requests and breaks the chosen ones."""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

HOP = {"connection", "transfer-encoding", "keep-alive"}
ERROR = "<Error><Code>{code}</Code><Message>{code}</Message></Error>"
ANSWERS = {  # fault: status, code
    "503": (503, "SlowDown"),
    "expired": (400, "ExpiredToken"),
    "denied": (403, "InvalidAccessKeyId"),
}
FAULTS = ("503", "close", "lose", "cut")


@dataclass(frozen=True)
class Request:
    """One request as the proxy saw it, numbered from 0."""

    number: int
    method: str
    path: str

    @property
    def is_write(self) -> bool:
        return self.method in ("PUT", "POST", "DELETE")


Choice = Callable[[Request], str | None]


def sound(request: Request) -> str | None:
    """No fault."""
    return None


@dataclass
class Loopback:
    """A web server on loopback; `over` is set when it ends, for whoever stalls."""

    over: threading.Event = field(default_factory=threading.Event, kw_only=True)

    def __enter__(self) -> Self:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def _handler(self) -> Callable[..., BaseHTTPRequestHandler]:
        raise NotImplementedError


@dataclass
class Proxy(Loopback):
    """Between a client and the server.

    `choose` names the fault of a request: "503", "expired" or "denied" (answered without asking the
    server), "close" (the connection, unasked), "lose" (done, but the reply never comes), "cut"
    (the reply breaks off in the middle), "stall" (nothing comes until `over` is set).
    """

    server: str
    choose: Choice = sound
    seen: list[Request] = field(default_factory=list)
    broken: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def restart(self, choose: Choice = sound) -> None:
        """Count from 0 again."""
        with self._lock:
            self.seen, self.broken, self.choose = [], 0, choose

    def count(self, method: str = "", part: str = "") -> int:
        return sum(r.method.startswith(method) and part in r.path for r in list(self.seen))

    def take(self, method: str, path: str) -> str | None:
        with self._lock:
            request = Request(len(self.seen), method, path)
            self.seen.append(request)
            fault = self.choose(request)
            self.broken += fault is not None
        return fault

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def _any(self) -> None:
                body = _body(self)
                _answer(self, proxy, body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any

        return Handler


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
        return _unchunked(handler)
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def _unchunked(handler: BaseHTTPRequestHandler) -> bytes:
    whole = b""
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        whole += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return whole


def _answer(handler: BaseHTTPRequestHandler, proxy: Proxy, body: bytes) -> None:
    fault = proxy.take(handler.command, handler.path)
    if fault in ANSWERS:
        status, code = ANSWERS[fault]
        _send(
            handler, status, [("Content-Type", "application/xml")], ERROR.format(code=code).encode()
        )
        return
    if fault == "stall":
        proxy.over.wait(120)
    if fault in ("close", "stall"):
        handler.close_connection = True
        return
    status, headers, content = _forward(handler, proxy.server, body)
    if fault == "lose":
        handler.close_connection = True
        return
    _send(handler, status, headers, content, cut=fault == "cut")


def _forward(
    handler: BaseHTTPRequestHandler, server: str, body: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    headers = {k: v for k, v in handler.headers.items() if k.lower() not in HOP}
    if body or handler.command in ("PUT", "POST"):
        headers["Content-Length"] = str(len(body))
    try:
        connection.request(handler.command, handler.path, body or None, headers)
        reply = connection.getresponse()
        return reply.status, reply.getheaders(), reply.read()
    finally:
        connection.close()


def _send(
    handler: BaseHTTPRequestHandler,
    status: int,
    headers: list[tuple[str, str]],
    content: bytes,
    cut: bool = False,
) -> None:
    bare = handler.command == "HEAD" or status in (204, 304)
    handler.send_response_only(status)
    for name, value in headers:
        if name.lower() not in HOP and not (name.lower() == "content-length" and not bare):
            handler.send_header(name, value)
    if not bare:
        handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    if cut:
        handler.wfile.write(content[: len(content) // 2])
        handler.close_connection = True
    elif not bare:
        handler.wfile.write(content)
    handler.wfile.flush()


def at(*numbers: int, fault: str) -> Choice:
    """Break the requests of these numbers."""
    return lambda request: fault if request.number in numbers else None


def always(fault: str) -> Choice:
    """Break every request."""
    return lambda request: fault
