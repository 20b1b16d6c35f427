"""Real peers that tests of data run beside us: DVC, an S3 server, an SSH server."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def dvc(*args: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Runs real DVC, quietly and without its reports, and returns what it printed.

    Raises:
        AssertionError: it failed; the message holds its stderr.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *map(str, args)],
        cwd=cwd,
        env={
            **os.environ,
            "DVC_TEST": "true",  # no analytics, no question after updates
            "DVC_NO_ANALYTICS": "true",
            "DVC_SITE_CACHE_DIR": str(Path(os.environ["HOME"], "dvc-site")),
            **(env or {}),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"dvc {args} (exit {done.returncode}): {done.stderr}"
    return done.stdout


def stored_objects(folder: Path) -> dict[str, bytes]:
    """Returns the objects of a store, cache or remote in DVC's layout, by md5."""
    top = folder / "files" / "md5"
    return {path.parent.name + path.name: path.read_bytes() for path in top.glob("*/*")}


def free_port() -> int:
    """Returns a port of this machine that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], tmp_path: Path) -> Iterator[Any]:
    """Runs a server until the block ends; gives a function that tells whether it lives."""
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 60

        def is_alive() -> bool:
            if process.poll() is None and time.monotonic() < end:
                return True
            raise AssertionError((tmp_path / "server.log").read_text())

        try:
            yield is_alive
        finally:
            process.kill()
            process.wait()


class SlowLine:
    """A port of this machine that leads to another one, with so many bytes a second there."""

    def __init__(self, port: int, rate: float) -> None:
        self.rate = rate
        self.sent = 0
        """Bytes that went there."""
        self._to = port
        self._turn = threading.Lock()
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                self._start(self._pass, near, far, True)
                self._start(self._pass, far, near, False)

    def _pass(self, source: socket.socket, target: socket.socket, is_slow: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(8192):
                if is_slow:
                    with self._turn:
                        time.sleep(len(data) / self.rate)
                        self.sent += len(data)
                target.sendall(data)
        _shut(source)
        _shut(target)

    def cut(self) -> None:
        """Ends what is under way, with what lies in the buffers."""
        for end in self._ends:
            _shut(end)

    def close(self) -> None:
        _shut(self._listener)
        self.cut()
        self.rate = 1e9
        for thread in self._threads:
            thread.join(10)
        for end in (self._listener, *self._ends):
            end.close()


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def refusing(url: str, refuses: Callable[[str, str], bool]) -> Iterator[str]:
    """Gives the URL of a server before an S3 server that refuses some requests (403).

    `refuses` is asked with the method and the path.
    """
    host = url.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if refuses(self.command, self.path):
                content = b"<Error><Code>AccessDenied</Code><Message>not yours</Message></Error>"
                self._answer(403, {}, content)
                return
            there = http.client.HTTPConnection(host, timeout=60)
            with contextlib.closing(there):
                there.request(self.command, self.path, body, dict(self.headers))
                answer = there.getresponse()
                headers = {key: told for key, told in answer.getheaders() if key not in _OF_A_LINE}
                self._answer(answer.status, headers, answer.read())

        def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Connection", "close")
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


_OF_A_LINE = {"Content-Length", "Transfer-Encoding", "Connection", "Server", "Date"}
