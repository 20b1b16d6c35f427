"""`serve`: the site on this machine, made again when the ledger or a report changes; live runs.

Only this machine reaches it: it listens on the loopback address, answers to that name alone
(so no other site can point its own name here) and gives no page of another site anything, not
even the data scripts that any page could load. What it adds to the pages, it adds as they
are sent: a script that asks `live.js`. It asks by loading scripts, which the pages' own
policy allows; so they keep the policy that they have everywhere.
"""

from __future__ import annotations

import errno
import os
import signal
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from mlgit.errors import MlgitError, WrongState
from mlgit.ledger import Ledger
from mlgit.records import History, Run
from mlgit.site import live, reports, urls
from mlgit.site.build import build
from mlgit.site.pages import common

ADDRESS = "127.0.0.1"
_WATCH_SECONDS = 1.0
_KEPT_SECONDS = 5.0  # a run whose process dies changes no file

Runs = Sequence[tuple[Run, History]]
Say = Callable[[str], None]

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ADDED = (
    f'<link rel="stylesheet" href="/{urls.asset("serve.css")}">'
    f'<script src="/{urls.asset("serve.js")}?%s" defer></script></head>'
)


class Server(ThreadingHTTPServer):
    """Serves the folder of a site, and says what is live."""

    daemon_threads = True

    def __init__(self, port: int, folder: Path, journals: Path, runs: Callable[[], Runs]) -> None:
        """Takes the port; 0 means any that is free.

        `runs` are asked for, by one thread at a time, when something in `journals` changes.

        Raises:
            WrongState: the port is taken, or not allowed.
        """
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            reason = "taken" if is_taken else f"not to be had: {error.strerror}"
            raise WrongState(
                f"the port {port} is {reason}", "another: --port N, or any that is free: --port 0"
            ) from error
        self.folder = folder
        self.state = ""
        """Of the ledger, as the site shows it."""
        self.trouble = ""
        """Why it could not be made again, when that was tried last."""
        self._journals = journals
        self._runs = runs
        self._asking = threading.Lock()
        self._known: tuple[object, float, Runs] = (None, 0.0, [])

    def server_bind(self) -> None:
        """Binds without asking for the name of the address, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.server_address[1]

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a request may call us."""
        found = (ADDRESS, "localhost")
        return (
            *(f"{name}:{self.server_port}" for name in found),
            *found * (self.server_port == 80),
        )

    def live(self, with_curves: bool) -> dict[str, Any]:
        """Returns what `live.js` says."""
        started = time.monotonic()
        with self._asking:
            look = _sizes(self._journals)
            known, when, runs = self._known
            if known != look or time.monotonic() - when > _KEPT_SECONDS:
                runs = self._runs() if look else []
                self._known = look, time.monotonic(), runs
        found: dict[str, Any] = {"state": self.state, "count": len(runs)}
        if with_curves:
            found["runs"] = live.told(runs, time.time())
        return found | {"took": time.monotonic() - started}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of browsers that went away; anything else is a bug."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def _sizes(journals: Path) -> list[tuple[str, int]]:
    """Returns the journals and how long they are."""
    try:
        with os.scandir(journals) as entries:
            return sorted((e.name, e.stat().st_size) for e in entries if e.name.endswith(".jsonl"))
    except OSError:
        return []


class _Handler(BaseHTTPRequestHandler):
    """Answers one browser."""

    protocol_version = "HTTP/1.1"
    server_version = "mlgit"
    sys_version = ""
    timeout = 60
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            self._send(403, b"This site is served to this machine only, by its own name.\n")
            return
        site = self.headers.get("Sec-Fetch-Site", "none")
        if site not in ("none", "same-origin") and not self._is_visit():
            self._send(403, b"Pages of other sites get nothing from this one.\n")
            return
        parts = urlsplit(self.path)
        path = unquote(parts.path).removeprefix("/") or urls.HOME
        if path == urls.LIVE_DATA:
            told = self.server.live(parts.query == "curves")
            self._send(200, common.script("live", msgspec.json.encode(told)), _TYPES[".js"])
            return
        state = self.server.state  # before the content: better one word too many than none
        content = _file(self.server.folder, path)
        if content is None:
            self._send(404, b"There is no such page.\n")
            return
        kind = _TYPES.get(os.path.splitext(path)[1], "application/octet-stream")
        if path.endswith(".html"):
            content = content.replace(b"</head>", (_ADDED % state).encode(), 1)
        self._send(200, content, kind)

    def _is_visit(self) -> bool:
        """Tells whether somebody followed a link to here, which no other page sees the end of."""
        return (
            self.headers.get("Sec-Fetch-Mode") == "navigate"
            and self.headers.get("Sec-Fetch-Dest") == "document"
        )

    def _send(self, code: int, content: bytes, kind: str = _TYPES[".txt"]) -> None:
        self.send_response(code)
        for name, value in {**_HEADERS, "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a browser asks every other second."""


def _file(folder: Path, path: str) -> bytes | None:
    """Returns a file of the site; None if there is none, or the path leads elsewhere."""
    parts = path.split("/")
    if "\0" in path or "\\" in path or any(part.startswith(".") or not part for part in parts):
        return None
    place = folder.joinpath(*parts)
    try:
        if not place.resolve().is_relative_to(folder.resolve()):
            return None
        return place.read_bytes()
    except OSError:
        return None


def serve(
    ledger: Ledger,
    folder: Path,
    port: int,
    runs: Callable[[], Runs],
    started: Callable[[str], None],
    say: Say,
) -> None:
    """Builds the site in `folder` and serves it until Ctrl-C; `started` is told its address.

    `runs` returns those that are being logged to. `say` is told what is made again, and
    what could not be.

    Raises:
        WrongState: the port is taken.
        NotFound, Unreadable, Invalid, WriteFailed: see `build`.
    """
    journals = ledger.repository.common_dir / "mlgit" / "live"
    with Server(port, folder, journals, runs) as server:
        server.state = state(ledger)
        build(ledger, folder, served=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            started(server.url)
            while True:
                time.sleep(_WATCH_SECONDS)
                _renew(ledger, server, say)
        except KeyboardInterrupt:
            # Typed again it must not break off the ending, which takes half a second.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            say("ended")
        finally:
            server.shutdown()
            thread.join()


def state(ledger: Ledger) -> str:
    """Returns what changes when the ledger, the registry, or a report does.

    Raises:
        Invalid: `mlgit.toml` cannot be read.
    """
    repository = ledger.repository
    refs = [repository.ref, "refs/tags/"]
    refs += [repository.tracking_ref(name) for name in repository.remotes]
    listing = repository.git("for-each-ref", "--format=%(objectname) %(refname)", *refs)
    return common.key("state", listing.decode(errors="replace"), reports.read(ledger))


def _renew(ledger: Ledger, server: Server, say: Say) -> None:
    """Makes the site again if what it is made of has changed."""
    try:
        new = state(ledger)
        if new != server.state:
            ledger.reload()
            written = build(ledger, server.folder, served=True, alone=True)
            say(f"made again: {written.made:,} of {written.units:,} parts")
            server.state = new
        server.trouble = ""
    except WrongState:
        return  # another server of this repository makes it at this moment
    except MlgitError as error:
        if error.message != server.trouble:
            say(f"the site stays as it is: {error.message}")
        server.trouble = error.message
