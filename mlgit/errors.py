"""The errors mlgit raises on purpose.

    MlgitError
    ├── NotARepository   no git repository here, or git will not open it
    ├── NotFound         no such run, experiment, remote or file, or several match
    ├── Invalid          a name, value or argument that cannot be stored
    ├── QueryError       a condition or sort key that cannot be read
    ├── WrongState       a run that has ended, is live elsewhere, or was never started
    ├── Unreadable       something stored is damaged, hostile, or from a later mlgit
    ├── WriteFailed      git or the disk did not take what we wrote
    └── RemoteFailed     a remote could not be reached or refused

Library code raises these and never prints or exits; the command line turns one
into `Error: …` and `Hint: …` on stderr with exit code 1. Anything else that
escapes is a bug and keeps its traceback.
"""

from __future__ import annotations


class MlgitError(Exception):
    """What went wrong, in one sentence, and what to do about it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        # In a training script's traceback the way out has to stand beside the cause.
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message


class NotARepository(MlgitError):
    """There is no git repository here, or git will not open it for us."""


class NotFound(MlgitError):
    """Nothing has this name, or more than one thing has."""


class Invalid(MlgitError, ValueError):
    """A name, value or argument that cannot be stored as it is."""


class QueryError(MlgitError, ValueError):
    """A condition or sort key that cannot be read; the message points at the column."""


class WrongState(MlgitError):
    """The run is not in a state in which this can be done."""


class Unreadable(MlgitError):
    """Something stored cannot be trusted: damaged, hostile, or from a later mlgit."""


class WriteFailed(MlgitError):
    """Git or the disk did not take what was to be written; nothing changed."""


class RemoteFailed(MlgitError):
    """A remote could not be reached, or refused what was sent."""


class MlgitWarning(UserWarning):
    """Something succeeded, but otherwise than asked."""
