"""Data remotes: where they are, and the file system behind one, opened.

A remote is a folder in DVC's layout on this machine or its network shares, on S3 or
behind SSH. Credentials are never ours: S3's come from the environment or ~/.aws,
SSH's from the agent, the default keys or ~/.ssh/config, and the host must be known.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mlgit import names
from mlgit.errors import Invalid, MlgitError, RemoteFailed, WriteFailed

PREFIX = "mlgit"  # below the URL a person gives, so that `dvc gc -c` never sees our objects
S3_PART = 8 * 1024 * 1024  # bytes; every job holds up to four parts in memory
SSH_BEGIN = 30  # seconds until a connection stands, logging in included
SSH_ALIVE = 15  # seconds between questions; after three without an answer the line is dead
LOCAL = "local:"  # stands for a folder, whose path is each machine's own business

# By URL scheme; spelled as in DVC's configuration, which gets them too.
OPTIONS: dict[str, dict[str, re.Pattern[str]]] = {
    "s3": {
        "endpointurl": re.compile(r"https?://[\w.\-]+(:\d{1,5})?(/[\w./\-]*)?", re.ASCII),
        "profile": re.compile(r"[\w.\-]{1,100}", re.ASCII),
        "region": re.compile(r"[a-z0-9\-]{1,50}"),
    },
    "ssh": {
        "port": re.compile(r"[1-9]\d{0,4}", re.ASCII),
        "user": re.compile(r"\w[\w.\-]{0,99}", re.ASCII),
    },
    "local": {},
}
# One pattern for the whole, because urlsplit drops line breaks without a word.
_URL = re.compile(
    r"(s3|ssh)://((?P<user>\w[\w.\-]{0,99})@)?(\w[\w.\-]{0,252}|\[[0-9A-Fa-f:.]+\])"
    r"(:(?P<port>[1-9]\d{0,4}))?(?P<path>/[^\x00-\x1f\x7f\"'`\\#?,;$%]*(?<! ))?",
    re.ASCII,
)
_LAST_PORT = 65535
_CREDENTIAL = re.compile(r"[?#]|://[^/]*:[^/]*@")
_SECRETS = {"password", "passphrase", "access_key_id", "secret_access_key", "session_token"}


class Remote(NamedTuple):
    """A data remote by its name, as the ledger or this machine knows it."""

    name: str
    url: str
    """`s3://bucket/path`, `ssh://host/path`, `local:`, or an absolute path."""
    options: Mapping[str, str]
    is_default: bool = False

    @property
    def is_local(self) -> bool:
        """Whether it is a folder."""
        return self.url == LOCAL or self.url.startswith("/")


def check_shared(url: str, options: Mapping[str, str]) -> None:
    """Checks what everybody with the repository is going to read, or has written there.

    Raises:
        Invalid: not a URL or an option that we know, a credential, or a machine's path.
    """
    scheme = "local" if url == LOCAL else url.partition("://")[0]
    if scheme not in OPTIONS:
        raise Invalid(
            f"{names.shown(url)} is not a place for data",
            "give a folder, s3://bucket/path or ssh://host/path",
        )
    if _CREDENTIAL.search(url):
        raise Invalid(
            "the URL of a data remote is read by everybody who has the repository, "
            "so it has no password, key or query",
            _WHERE,
        )
    found = _URL.fullmatch(url)
    if url != LOCAL and (
        found is None
        or (scheme == "s3" and (found["user"] or found["port"]))
        or int(found["port"] or 0) > _LAST_PORT
        or ".." in (found["path"] or "").split("/")
    ):
        raise Invalid(f"{names.shown(url)} is not a URL that a data remote may have")
    for key, value in options.items():
        check_option(scheme, key, value)


def check_option(scheme: str, key: str, value: object) -> None:
    """Raises Invalid unless remotes of this scheme have such an option."""
    if key in _SECRETS:
        raise Invalid(f"{key} is a secret, and everybody who has the repository reads this", _WHERE)
    form = OPTIONS[scheme].get(key)
    if form is None:
        known = ", ".join(sorted(OPTIONS[scheme])) or "none"
        raise Invalid(f"a remote of this kind has no option {names.shown(key)}", f"it has: {known}")
    is_good = isinstance(value, str) and form.fullmatch(value)
    if not is_good or (key == "port" and int(str(value)) > _LAST_PORT):
        raise Invalid(f"{names.shown(value)} is no {key}")


_WHERE = (
    "credentials stay on each machine: in the environment or ~/.aws for S3, "
    "in the ssh agent or ~/.ssh for SSH"
)


# What is raised when nobody answers, at the beginning or later: of one line that is dead
# those who wait are told so, and those who come then that it is not open.
_SILENT = {"FSTimeoutError", "ConnectionLost", "SFTPConnectionLost", "SFTPNoConnection"}


class Connection:
    """A data remote, opened. Made by `connect`; made for several threads."""

    def __init__(self, remote: Remote, filesystem: Any, root: str) -> None:
        self.name = remote.name
        self.fs = filesystem
        self.root = root.rstrip("/")
        self.is_folder = remote.is_local
        self.is_s3 = remote.url.startswith("s3:")
        """Whether an object appears only when it is whole, and folders are but names."""

    def path(self, md5: str) -> str:
        return f"{self.root}/files/md5/{md5[:2]}/{md5[2:]}"

    @contextlib.contextmanager
    def reaching(self, writes_here: bool = False) -> Iterator[None]:
        """Translates what the libraries for a dozen protocols raise.

        What is written is written on the remote, or with `writes_here` on this machine.

        Raises:
            RemoteFailed: the remote cannot be reached or refuses; names and says why.
            WriteFailed: there is no space left, here or there.
        """
        try:
            yield
        except MlgitError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                place = "this machine" if writes_here else f"the data remote {self.name}"
                raise WriteFailed(f"no space is left on {place}", "free some space") from error
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            reason = re.sub(r"^\[Errno -?\d+\] ", "", reason)
            if type(error).__name__ in _SILENT:
                reason = "it does not answer"
            if reason == "Failure":  # what sftp has for all that its protocol has no word for
                reason = "it gives no reason; perhaps its disk is full"
            raise RemoteFailed(
                f"the data remote {self.name} failed: {reason}", self._hint(error)
            ) from error

    def _hint(self, error: Exception) -> str:
        kind = type(error).__name__
        if kind == "HostKeyNotVerifiable":
            return "connect once with ssh, and check the host's key"
        if kind in ("NoCredentialsError", "ProfileNotFound", "PermissionError"):
            return "check the folder's permissions" if self.is_folder else _WHERE
        return "what has arrived is kept; try again"


@contextlib.contextmanager
def connect(remote: Remote) -> Iterator[Connection]:
    """Opens a remote whose URL and options are those of this machine.

    Raises:
        RemoteFailed: it cannot be reached.
        Invalid: its library is not installed, or its path is not known here.
    """
    if remote.is_local:
        if remote.url == LOCAL:
            raise Invalid(
                f"where the folder of the data remote {remote.name} lies on this machine "
                "is not known",
                f"name the one in which files/md5 lies: "
                f"git config mlgit.data.{remote.name}.url /path/to/{PREFIX}",
            )
        import fsspec

        yield Connection(remote, fsspec.filesystem("file", skip_instance_cache=True), remote.url)
        return
    parts = urlsplit(remote.url)
    opened = Connection(remote, None, parts.path)
    with opened.reaching():
        if parts.scheme == "s3":
            opened.fs = _open_s3(remote)
            opened.root = f"{parts.netloc}{parts.path}".rstrip("/")
        else:
            opened.fs = _open_ssh(remote)
    yield opened


def _open_s3(remote: Remote) -> Any:
    try:
        import s3fs
    except ImportError as error:
        raise _lacking(remote, "s3") from error
    region = remote.options.get("region")
    return s3fs.S3FileSystem(
        profile=remote.options.get("profile"),
        endpoint_url=remote.options.get("endpointurl"),
        client_kwargs={"region_name": region} if region else {},
        default_block_size=S3_PART,
        max_concurrency=4,
        default_fill_cache=False,
        use_listings_cache=False,
        skip_instance_cache=True,
    )


def _open_ssh(remote: Remote) -> Any:
    try:
        import sshfs
    except ImportError as error:
        raise _lacking(remote, "ssh") from error
    parts = urlsplit(remote.url)
    settings: dict[str, Any] = {
        "known_hosts": (),  # ssh's own; sshfs would trust any host
        "encryption_algs": "^aes128-gcm@openssh.com",  # half as fast again as the default
        "keepalive_interval": SSH_ALIVE,
    }
    if user := remote.options.get("user") or parts.username:
        settings["username"] = user
    if port := remote.options.get("port") or parts.port:
        settings["port"] = int(port)
    if keyfile := remote.options.get("keyfile"):
        settings["client_keys"] = [os.path.expanduser(keyfile)]
    return sshfs.SSHFileSystem(
        parts.hostname, connect_timeout=SSH_BEGIN, skip_instance_cache=True, **settings
    )


def _lacking(remote: Remote, extra: str) -> Invalid:
    return Invalid(
        f"the data remote {remote.name} needs packages that are not installed",
        f"pip install 'mlgit[{extra}]'",
    )


def with_prefix(url: str) -> str:
    """Returns the place below a URL or path where our objects lie.

    >>> with_prefix("s3://bucket/dvc/"), with_prefix("s3://bucket/mlgit")
    ('s3://bucket/dvc/mlgit', 's3://bucket/mlgit')
    """
    url = url.rstrip("/")
    return url if PurePosixPath(url).name == PREFIX else f"{url}/{PREFIX}"
