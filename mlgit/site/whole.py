"""One run with all that belongs to it, read from its folder when its page is made."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from mlgit import names, profiles, records, saved
from mlgit.data import store
from mlgit.data.hashing import Member, is_md5
from mlgit.errors import Invalid, NotFound, Unreadable
from mlgit.ledger import Ledger, walk
from mlgit.ledger.objects import Object, lookup
from mlgit.ledger.patches import Patch, Patches
from mlgit.ledger.walk import Folder, Problem
from mlgit.records import Fact, History, Pointer, Run
from mlgit.records import history as histories
from mlgit.site.redact import Redactor

_KEPT = 200  # environments in mind at once
CONTENT_LIMIT = 4 * 1024 * 1024  # bytes of an artifact that a page takes along


class Whole(NamedTuple):
    """A run, its facts folded in, and what lies beside it."""

    run: Run
    facts: list[Fact]
    history: History
    """As the branch has it: of a long one at most 1,000 points a metric, in every clone alike."""
    files: dict[str, bytes]
    """The artifacts that lie on the branch, by path."""
    environment: dict[str, Any] | None
    problems: list[str]
    """What could not be read of it."""


class Source:
    """The ledger as pages are read from it, with what many runs share kept in mind.

    With a redactor all that it returns has met the rules; without `artifacts` it has none.
    """

    def __init__(
        self, ledger: Ledger, redactor: Redactor | None = None, artifacts: bool = True
    ) -> None:
        self._ledger = ledger
        self._redactor = redactor
        self._artifacts = artifacts
        self._patches = Patches(ledger.repository, ledger.reader)
        folder = lookup(ledger.reader, ledger.root, "environments")
        self._environments = ledger.reader.tree(folder.sha) if folder and folder.is_tree else {}
        self._kept: dict[str, dict[str, Any] | str] = {}

    def close(self) -> None:
        self._patches.close()

    def run(self, folder: Folder) -> Run | None:
        """Reads a run's record alone; None if it is damaged."""
        for found in walk.load_runs(self._ledger.reader, [folder]):
            if isinstance(found, Run):
                redacted: Run = self._redactor.value(found) if self._redactor else found
                return redacted
        return None

    def whole(self, folder: Folder) -> Whole | Problem:
        """Reads a run and what lies in its folder; what is damaged is left out and named."""
        run = None
        problems: list[str] = []
        for found in walk.load_runs(self._ledger.reader, [folder]):
            if isinstance(found, Run):
                run = found
            elif run is None:
                return self._redactor.value(found) if self._redactor else found
            else:
                problems.append(found.message)
        assert run is not None
        facts = walk.facts_in(self._ledger.reader, folder)
        whole = Whole(
            run=run,
            facts=facts,
            history=self._history(folder, facts, problems),
            files=self._files(run, folder, facts, problems),
            environment=self._environment(run, problems),
            problems=problems,
        )
        return _redacted(whole, self._redactor) if self._redactor else whole

    def _history(self, folder: Folder, facts: list[Fact], problems: list[str]) -> History:
        limit = records.SIZE_LIMITS["metrics"]
        reader = self._ledger.reader
        history: History = {}
        try:
            stored = walk.read_file(reader, folder.sha, names.METRICS_FILE, limit)
            history = histories.load(stored) if stored is not None else {}
        except Unreadable as error:
            problems.append(error.message)
        saved.add_points(history, facts)
        return history

    def _files(
        self, run: Run, folder: Folder, facts: list[Fact], problems: list[str]
    ) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        limit, reader = records.SIZE_LIMITS["file"], self._ledger.reader
        try:
            for path, content in walk.read_files(reader, folder.sha, "files", limit):
                found[names.artifact_path(path)] = content
        except (Unreadable, Invalid) as error:
            problems.append(error.message)
        found |= saved.later_artifacts(facts)
        altered = [
            pointer.path
            for pointer in run.outputs
            if pointer.path in found and store.md5_of(found[pointer.path]) != pointer.md5
        ]
        for path in altered:
            del found[path]
        if not self._artifacts:
            return {path: content for path, content in found.items() if path == names.CONSOLE_FILE}
        return found

    def _environment(self, run: Run, problems: list[str]) -> dict[str, Any] | None:
        digest = run.environment
        if digest is None:
            return None
        if digest not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[digest] = self._read_environment(digest)
        found = self._kept[digest]
        if isinstance(found, str):
            problems.append(found)
            return None
        return found

    def _read_environment(self, digest: str) -> dict[str, Any] | str:
        path = names.environment_file(digest)
        entry = self._environments.get(f"{digest}.json")
        if entry is None or names.place(path).kind != "environment":
            return f"{names.shown(path)} is missing"
        found = self._ledger.reader.find(entry.sha, records.SIZE_LIMITS["environment"])
        content = found.data if isinstance(found, Object) else b""
        if hashlib.sha256(content).hexdigest() != digest:
            return f"{path} was altered: its content has another hash"
        try:
            parsed = records.parse(content, path)
        except Unreadable as error:
            return error.message
        return _redacted_environment(parsed, self._redactor) if self._redactor else parsed

    def profile(self, folder: str) -> dict[str, Any] | None:
        """Returns a dataset's profile by the git id of its folder; None if none can be read."""
        try:
            found = profiles.load(self._ledger.reader, folder)
            return self._redactor.value(found) if self._redactor else found
        except Unreadable:
            return None

    def members(self, folder: str) -> list[Member] | None:
        """Returns the files of a folder by its md5; None if its list is not here, or damaged."""
        try:
            found = store.members(self._ledger.repository.data_store, folder)
            return self._redactor.value(found) if self._redactor else found
        except (NotFound, Unreadable):
            return None

    def patch(self, run: Run) -> Patch | None:
        """Returns the run's uncommitted work; None if there was none, or it is not here."""
        if not run.source.snapshot:
            return None
        if withheld := self._withheld("patches", run.id):
            return withheld
        return self._redacted(self._patches.of(run.source.snapshot))

    def difference(self, old: str, new: str) -> Patch | None:
        """Returns what changed between two commits; None if something of them is not here."""
        if withheld := self._withheld("code", f"{old[:12]}..{new[:12]}"):
            return withheld
        return self._redacted(self._patches.between(old, new))

    def _withheld(self, kind: str, what: str) -> Patch | None:
        """Returns what stands for a patch; None if it may be shown."""
        if not (self._redactor and self._redactor.takes("patches")):
            return None
        mark = self._redactor.mark(kind, what)
        return Patch(f"diff --git a/{mark} b/{mark}\n", False)

    def _redacted(self, patch: Patch | None) -> Patch | None:
        if patch and self._redactor:
            return patch._replace(text=self._redactor.text(patch.text))
        return patch

    def content(self, whole: Whole, pointer: Pointer) -> bytes | None:
        """Returns an artifact's bytes if they are on this machine, whole, and not too many."""
        if pointer.stored == "git":
            return whole.files.get(pointer.path)
        is_wanted = self._artifacts and (pointer.size or 0) <= CONTENT_LIMIT
        if pointer.stored == "dvc" and pointer.md5 and is_wanted:
            with contextlib.suppress(Unreadable):  # the page says that it is not here
                content = store.load(self._ledger.repository.data_store, pointer.md5)
                if content is not None and self._redactor:
                    return self._redactor.content(content)
                return content
        return None

    def folder(self, pointer: Pointer) -> list[Member] | None:
        """Returns the files of a folder that a run made; None if a page is not to list them.

        That is where the list is not on this machine, is damaged, or is as long as no page.
        """
        if not self._artifacts or not pointer.md5:
            return None
        if (self.size(pointer.md5) or 0) > CONTENT_LIMIT:
            return None
        return self.members(pointer.md5)

    def here(self, md5s: Iterable[str]) -> list[tuple[str, int]]:
        """Returns what of this `content` and `folder` could find, with sizes; pulls bring more."""
        if not self._artifacts:
            return []
        sizes = ((md5, self.size(md5)) for md5 in md5s if is_md5(md5))
        return [(md5, size) for md5, size in sizes if size is not None]

    def size(self, md5: str) -> int | None:
        """Returns the bytes of an object of the data store; None if it is not here."""
        try:
            return store.object_path(self._ledger.repository.data_store, md5).stat().st_size
        except OSError:
            return None


def _redacted(whole: Whole, redactor: Redactor) -> Whole:
    """Returns a run without what the rules name; its environment has met them already."""
    files = {
        redactor.text(path): redactor.mark("console", whole.run.id).encode()
        if path == names.CONSOLE_FILE and redactor.takes("console")
        else redactor.content(content)
        for path, content in whole.files.items()
    }
    if whole.run.source.snapshot and redactor.takes("patches"):
        redactor.mark("patches", whole.run.id)
    return Whole(
        run=redactor.value(whole.run),
        facts=redactor.value(whole.facts),
        history=redactor.mapping(whole.history),
        files=files,
        environment=whole.environment,
        problems=redactor.value(whole.problems),
    )


def _redacted_environment(environment: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    packages = environment.get("packages")
    if not isinstance(packages, dict):
        return redactor.mapping(environment)
    redacted = redactor.mapping(environment | {"packages": None})
    found: dict[str, Any] = {}
    for name, version in packages.items():
        is_number = isinstance(version, str) and _NUMBER.fullmatch(version)
        left = version if is_number else redactor.value(version)
        found[redactor.unique(redactor.text(name), found)] = left
    return redacted | {"packages": found}


_NUMBER = re.compile(r"[0-9.]{1,60}")  # a version like 10.9.0.58 is no host
