"""Data behind an http(s) or S3 address: what its server says of it, and its bytes.

What is recorded of an address is what tells two contents apart without fetching
them: an ETag, S3's version id, the time of the last change.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from mlgit.errors import Invalid, MlgitError, WriteFailed

_ADDRESS = re.compile(r"(https?|s3)://.", re.IGNORECASE | re.DOTALL)
_TIMEOUT = 30  # seconds to wait for a server's answer
_CHUNK = 1024 * 1024


class Told(NamedTuple):
    """What a server says of the content behind an address."""

    size: int | None
    """Bytes."""
    etag: str | None
    version: str | None
    """S3's version id."""
    modified: str | None
    """In the server's own spelling."""


def is_address(text: object) -> bool:
    """Tells whether this is an http, https or S3 address."""
    return isinstance(text, str) and _ADDRESS.match(text) is not None


def without_secrets(address: str) -> str:
    """Returns an address without user name, password, query and fragment.

    A query may be a signature that opens the data to whoever has it.

    >>> without_secrets("https://ada:pw@example.org/t.csv?X-Signature=5f#top")
    'https://example.org/t.csv'
    """
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def name_of(address: str) -> str:
    """Returns the last part of an address's path, as a file might be called.

    >>> name_of("s3://bucket/2021/trips%20jan.parquet"), name_of("https://example.org")
    ('trips jan.parquet', 'example.org')
    """
    parts = urlsplit(address)
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc.rpartition("@")[2]


def ask(address: str, target: Path | None = None) -> Told:
    """Asks a server what it has there; with `target`, a new path, also fetches it to there.

    Raises:
        Invalid: the address cannot be read, or there is nothing.
        WriteFailed: there is no space for it.
        MlgitError: S3's library is not installed.
    """
    shown = without_secrets(address)
    if address.lower().startswith("s3:"):
        return _ask_s3(address, target, shown)
    with _reaching(shown):
        if target is None:
            with _open(address, "HEAD") as answer:
                return _told(answer.headers)
        with _open(address, "GET") as answer, target.open("xb") as file:
            shutil.copyfileobj(answer, file, _CHUNK)
            told = _told(answer.headers)
            # A connection that was cut reads like the end of the file.
            read = file.tell()
            if read != told.size and not (told.size is None or answer.headers["Content-Encoding"]):
                raise Invalid(f"{shown} broke off after {read:,} of {told.size:,} bytes")
            return told._replace(size=read)


def _open(address: str, method: str) -> Any:
    parts = urlsplit(address)
    login, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=host).geturl(), method=method)
    if login:
        token = base64.b64encode(unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return urllib.request.urlopen(request, timeout=_TIMEOUT)


def _told(headers: Mapping[str, str]) -> Told:
    length = headers.get("Content-Length") or ""
    size = int(length) if length.isascii() and length.isdecimal() else None
    return Told(size, headers.get("ETag"), None, headers.get("Last-Modified"))


def _ask_s3(address: str, target: Path | None, shown: str) -> Told:
    try:
        import s3fs
    except ImportError as error:
        raise MlgitError("reading from S3 needs a package", "pip install 'mlgit[s3]'") from error
    with _reaching(shown):
        system = s3fs.S3FileSystem(skip_instance_cache=True, version_aware=False)
        info = system.info(address)
        if info.get("type") == "directory":
            raise Invalid(f"{shown} is a folder on S3", "log the objects in it one by one")
        if target is not None:
            version = info.get("VersionId")
            system.get_file(address, os.fspath(target), version_id=version)
            # Without versions it may have been another object by then, or parts of two.
            now = info if version else system.info(address, refresh=True)
            if now.get("ETag") != info.get("ETag"):
                raise Invalid(f"{shown} changed while it was read", "log it again")
        modified = info.get("LastModified")
        return Told(
            info.get("size"),
            info.get("ETag"),
            info.get("VersionId"),
            modified.isoformat() if hasattr(modified, "isoformat") else None,
        )


@contextmanager
def _reaching(shown: str) -> Iterator[None]:
    """Translates what urllib, botocore and the system raise of an address.

    Raises:
        Invalid: it cannot be read; says why.
        WriteFailed: there is no space left.
    """
    try:
        yield
    except MlgitError:
        raise
    except Exception as error:  # botocore makes its classes at run time
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WriteFailed(f"no space is left for {shown}", "free some space") from error
        is_botocore = type(error).__module__.partition(".")[0] == "botocore"
        if not is_botocore and not isinstance(error, (OSError, ValueError, HTTPException)):
            raise
        reason = " ".join(str(getattr(error, "reason", None) or error).split())[:200]
        code = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
        raise Invalid(
            f"{shown} cannot be read: {code}{reason or type(error).__name__}",
            "check the address, and your right to read it",
        ) from error
