"""A web server on the loopback that shows a folder as nginx and Apache do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote


class FolderServer:
    """What is served, how, and what was asked for.

    Attributes:
        root: The folder.
        lists: Whether folders are listed.
        ranges: Whether Range requests are honoured.
        tags: Whether an ETag is sent.
        asked: Method and path of each request.
        sent: Bytes of bodies, by path.
        extra: More links in every listing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lists = True
        self.ranges = True
        self.tags = True
        self.asked: list[str] = []
        self.sent: dict[str, int] = {}
        self.extra = ["../", "?C=N;O=D", "/elsewhere/x.tar", "https://example.org/y.tar", "#top"]
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def listing(self, folder: Path) -> bytes:
        names = [f"{p.name}/" if p.is_dir() else p.name for p in sorted(folder.iterdir())]
        links = "".join(f'<a href="{quote(n)}">{n}</a>\n' for n in [*names])
        links += "".join(f'<a href="{link}">{link}</a>\n' for link in self.extra)
        return f"<html><body><h1>Index</h1><pre>{links}</pre></body></html>".encode()

    def _handler(web) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                web.asked.append(f"{self.command} {self.path}")
                path = web.root / unquote(self.path.partition("?")[0]).strip("/")
                if path.is_dir() and web.lists:
                    self._answer(200, web.listing(path), "text/html")
                elif not path.is_file():
                    self._answer(403 if path.is_dir() else 404, b"", "text/html")
                else:
                    self._file(path)

            def _file(self, path: Path) -> None:
                data, status = path.read_bytes(), path.stat()
                tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"' if web.tags else None
                asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
                if asked is None or not web.ranges:
                    self._answer(200, data, "application/octet-stream", tag)
                    return
                start, end = int(asked[1]), min(int(asked[2]) + 1, len(data))
                if start >= len(data):
                    self._answer(416, b"", "text/plain", tag, f"bytes */{len(data)}")
                else:
                    span = f"bytes {start}-{end - 1}/{len(data)}"
                    self._answer(206, data[start:end], "application/octet-stream", tag, span)

            def _answer(
                self,
                status: int,
                body: bytes,
                kind: str,
                tag: str | None = None,
                span: str | None = None,
            ) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", kind)
                for name, value in (("ETag", tag), ("Content-Range", span)):
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)
                    web.sent[self.path] = web.sent.get(self.path, 0) + len(body)

        return Handler


@contextmanager
def serve(root: Path) -> Iterator[FolderServer]:
    web = FolderServer(root)
    thread = threading.Thread(target=web.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield web
    finally:
        web.server.shutdown()
        web.server.server_close()
        thread.join()
