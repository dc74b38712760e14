"""A server on this machine that behaves, drops, stalls, truncates, lies, and sends web pages."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """Address, what was asked how often, and a script of behaviours a path."""

    url: str
    asked: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    script: dict[str, list[str]] = field(default_factory=dict)
    content: bytes = CONTENT
    sha256: str = SHA256


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        state, path = self.state, self.path
        count = state.asked[path]
        state.asked[path] += 1
        script = state.script.get(path, [path.strip("/").split("/")[0]])
        behaviour = script[min(count, len(script) - 1)]
        getattr(self, f"send_{behaviour}", self.send_missing)()
        self.close_connection = True

    def send_range(self, send: int | None = None, pause: float = 0.0, body: bytes = CONTENT) -> None:
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted:
            self.state.ranges.append(wanted)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        self.wfile.write(rest[: len(rest) if send is None else send])
        self.wfile.flush()
        time.sleep(pause)

    def send_good(self) -> None:
        self.send_range()

    def send_drop(self) -> None:
        self.send_range(send=100_000)

    def send_stall(self) -> None:
        self.send_range(send=50_000, pause=1.0)

    def send_slow(self) -> None:
        time.sleep(0.3)
        self.send_range()

    def send_lie(self) -> None:
        self.send_range(body=bytes(len(CONTENT)))

    def send_long(self) -> None:
        self.send_range(body=CONTENT + b"more")

    def send_short(self) -> None:
        self.plain(200, CONTENT[:1000])

    def send_norange(self) -> None:
        self.plain(200, CONTENT)

    def send_html(self) -> None:
        self.plain(200, b"\n<!DOCTYPE html><html><body>Please log in</body></html>" + b" " * 400_000)

    def send_busy(self) -> None:
        self.plain(503, b"busy")

    def send_forbidden(self) -> None:
        self.plain(403, b"no")

    def send_missing(self) -> None:
        self.plain(404, b"nothing")

    def send_unsatisfiable(self) -> None:
        self.plain(416, b"")

    def send_insecure(self) -> None:
        self.redirect("http://example.invalid/file")

    def send_file(self) -> None:
        self.redirect("file:///etc/hostname")

    def send_moved(self) -> None:
        self.redirect("/good/moved")

    def send_loop(self) -> None:
        self.redirect(self.path)

    def redirect(self, where: str) -> None:
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def plain(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    """A fresh server on 127.0.0.1."""
    handler = type("BoundHandler", (Handler,), {})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    httpd.handle_error = lambda *_: None  # clients that leave early are part of the tests
    handler.state = Server(f"http://127.0.0.1:{httpd.server_address[1]}")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield handler.state
    httpd.shutdown()
    thread.join()
    httpd.server_close()
