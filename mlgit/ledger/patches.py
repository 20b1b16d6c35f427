"""What commits changed, as unified diffs, from one long-lived git process."""

from __future__ import annotations

import os
import re
import subprocess
from typing import NamedTuple

from mlgit.ledger.objects import Object, Reader
from mlgit.ledger.repository import Repository

LIMIT = 1024 * 1024  # bytes of one patch; of a longer one the beginning is read
_END = b"mlgit: end\n"  # git gives back what is no object id, and no line of a patch is like it
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TREE = re.compile(rb"tree ([0-9a-f]{40})\n")

_CONFIG = (
    *("-c", "core.quotePath=false", "-c", "core.attributesFile=/dev/null"),
    *("-c", "core.bigFileThreshold=8m"),  # of a larger file only that it differs
    *("-c", "diff.suppressBlankEmpty=false"),
)
# Whatever the user's configuration says, a patch looks the same, and runs no program.
_OPTIONS = (
    *("--root", "-r", "-p", "-M", "--no-commit-id", "--no-color", "--no-ext-diff"),
    *("--no-textconv", "--diff-algorithm=myers", "--unified=3", "--inter-hunk-context=0"),
    *("--indent-heuristic", "-l1000"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--full-index", "--submodule=short"),
)


class Patch(NamedTuple):
    text: str
    cut: bool
    """Whether there was more than `LIMIT` bytes."""


class Patches:
    """Answers with patches, as long as it is not closed."""

    def __init__(self, repository: Repository, reader: Reader) -> None:
        self._repository = repository
        self._reader = reader
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def close(self) -> None:
        process, self._process = self._process, None
        if process and self._pid == os.getpid():  # else our parent's, which goes on using it
            process.kill()
            process.communicate()

    def of(self, commit: str) -> Patch | None:
        """Returns what a commit changed against its first parent; None if it is not here."""
        return self._ask(commit) if self._tree(commit) else None

    def between(self, old: str, new: str) -> Patch | None:
        """Returns the difference of two commits' trees; None if one is not here."""
        before, after = self._tree(old), self._tree(new)
        return self._ask(f"{before} {after}") if before and after else None

    def _tree(self, commit: str) -> str:
        """Returns the id of a commit's tree; "" if there is no such commit here."""
        found = self._reader.find(commit) if _COMMIT.fullmatch(commit) else None
        if not isinstance(found, Object) or found.kind != "commit":
            return ""
        match = _TREE.match(found.data)
        return match[1].decode() if match else ""

    def _ask(self, request: str) -> Patch | None:
        if self._process is None or self._pid != os.getpid():
            self._pid = os.getpid()
            # Git attributes would be those of whatever is checked out here. In the git directory,
            # with an index that is not there, it finds none.
            place = ("-C", str(self._repository.git_dir), "--git-dir=.", "--work-tree=.")
            command = (*place, *_CONFIG, "diff-tree", "--stdin", *_OPTIONS)
            self._process = self._repository.start_git(*command, env={"GIT_INDEX_FILE": "absent"})
        requests, replies = self._process.stdin, self._process.stdout
        assert requests is not None and replies is not None
        try:
            requests.write(request.encode() + b"\n" + _END)
            requests.flush()
        except BrokenPipeError:
            self.close()
            return None
        lines: list[bytes] = []
        size = 0
        for line in replies:
            if line == _END:
                return Patch(b"".join(lines).decode(errors="replace"), False)
            lines.append(line)
            size += len(line)
            if size > LIMIT:
                self.close()
                return Patch(b"".join(lines).decode(errors="replace")[:LIMIT], True)
        self.close()  # git ended: something that the trees name is missing
        return None
