"""Version commits: small commits in which plain DVC finds a run's model and data.

DVC reads every pointer of a revision for any command, so pointers stand here and not on
the branch: a version commit has a handful, whatever the number of runs.

    run.json           the record of the run, the same bytes as on the branch
    model.dvc          pointer to the model; a model that lies on the branch stands as it is
    artifacts/….dvc    pointers to the run's other artifacts in the data store
    data/….dvc         pointers to the exact inputs, by role, name or file name
    dvc.yaml           the model under its registered name, for `dvc artifacts get`
    .dvc/config        the data remotes as they stood then
    .dvcignore

Its parent is the exact code of the run, so `git diff A^ B^` is what changed between two
models. It stands on no branch: a git tag names it, and the ledger's commit that tells of
it has it as second parent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from mlgit import names, records, remotes, saved
from mlgit.data.hashing import Hash
from mlgit.data.pointers import format_pointer, scalar
from mlgit.data.remote import Remote
from mlgit.errors import NotFound
from mlgit.ledger import Ledger, append, walk
from mlgit.ledger.append import write_commit
from mlgit.ledger.objects import Missing, Store, store_files
from mlgit.records import Pointer, Run

MODEL = "model"


def files(
    run: Run,
    record: bytes,
    output: Pointer | None,
    present: Iterable[Remote],
    model: str | None = None,
    description: str = "",
    content: bytes = b"",
) -> dict[str, bytes]:
    """Returns the files of a version commit, by path; pure.

    Args:
        run: the run as it stands, later facts included.
        record: the bytes of its run.json.
        output: the artifact that is the model; None: there is none.
        present: the data remotes.
        model: the name it is registered under, if it is.
        content: the model itself, if it lies on the branch.
    """
    found = {
        names.RUN_FILE: record,
        ".dvc/config": remotes.dvc_config(present),
        names.DVC_IGNORE: names.VERSION_MARK,
    }
    if output is not None and output.stored == "git":
        found[MODEL] = content
    elif output is not None:
        found[f"{MODEL}.dvc"] = _pointer(MODEL, output)
    for pointer in run.artifacts:
        if pointer is not output and pointer.stored == "dvc":
            name = PurePosixPath(pointer.path).name
            found[f"artifacts/{pointer.path}.dvc"] = _pointer(name, pointer)
    for name, pointer in data_names(run.inputs):
        found[f"data/{name}.dvc"] = _pointer(name, pointer)
    if output is not None and model is not None:
        found["dvc.yaml"] = _artifacts(model, description)
    return found


def _pointer(name: str, pointer: Pointer) -> bytes:
    assert pointer.md5 is not None and pointer.size is not None  # it is stored
    return format_pointer(name, Hash(pointer.md5, pointer.size, pointer.files))


def _artifacts(model: str, description: str) -> bytes:
    lines = ["artifacts:", f"  {scalar(model)}:", f"    path: {MODEL}", f"    type: {MODEL}"]
    lines += [f"    desc: {scalar(description)}"] if description else []
    return ("\n".join(lines) + "\n").encode()


def data_names(inputs: Iterable[Pointer]) -> list[tuple[str, Pointer]]:
    """Returns the inputs whose bytes are kept, each with the name it has below `data/`.

    The name is the role if no other input has it, else the name, else the file's own,
    with the file's suffix; a number is added to what is taken. Hashes without bytes are
    left out: DVC could not fetch them.

    >>> a = Pointer(path="raw/2021-01.csv", md5="0" * 32, size=1, role="train", stored="dvc")
    >>> [name for name, _ in data_names([a])]
    ['train.csv']
    """
    kept = [pointer for pointer in inputs if pointer.stored == "dvc" and pointer.md5]
    roles = [pointer.role for pointer in kept]
    taken: set[str] = set()
    found = []
    for pointer in kept:
        suffix = "" if (pointer.md5 or "").endswith(".dir") else PurePosixPath(pointer.path).suffix
        role = pointer.role if pointer.role and roles.count(pointer.role) == 1 else None
        called = None if pointer.origin == "glob" else pointer.name  # that is the pattern
        label = role or called or PurePosixPath(pointer.path).name
        plain = _UNSAFE.sub("_", label).strip("._") or "data"
        plain = plain.removesuffix(suffix)[: 100 - len(suffix)]
        name, number = plain + suffix, 1
        while name.lower() in taken:  # also where case does not count
            number += 1
            name = f"{plain}-{number}{suffix}"
        taken.add(name.lower())
        found.append((name, pointer))
    return found


_UNSAFE = re.compile(r"[^\w.+=@ -]")  # a letter of any script is safe for DVC and git


def model_output(run: Run, path: str | None = None) -> Pointer | None:
    """Returns the artifact that is the run's model: the one at `path`, or its only model.

    None: it has none.

    Raises:
        NotFound: there is nothing at `path`, or there are several models.
    """
    if path is not None:
        for pointer in run.artifacts:
            if pointer.path == path:
                return pointer
        known = ", ".join(pointer.path for pointer in run.artifacts[:10]) or "none"
        raise NotFound(f"the run {run.id} has no artifact {names.shown(path)}", f"it has {known}")
    models = [pointer for pointer in run.artifacts if pointer.kind == "model"]
    if len(models) > 1:
        choices = " or ".join(f"{run.id[:10]}:{pointer.path}" for pointer in models[:5])
        raise NotFound(f"the run {run.id} has {len(models)} models", f"name one: {choices}")
    return models[0] if models else None


def build(
    ledger: Ledger,
    run: Run,
    output: Pointer | None,
    message: str,
    *,
    model: str | None = None,
    description: str = "",
) -> str:
    """Makes the version commit of a saved run and returns its id; moves no ref.

    Raises:
        Unreadable: the run's record is damaged.
        NotFound: the model lies on the branch, and its bytes are not there.
        WriteFailed: it cannot be stored or signed.
    """
    path = names.run_file(run.id, names.RUN_FILE)
    record = walk.read_file(ledger.reader, ledger.root, path, records.SIZE_LIMITS["run"])
    assert record is not None, "it was read before"
    content = b""
    if output is not None and output.stored == "git":
        blobs = saved.artifacts(ledger, run)
        if output.path not in blobs:
            raise NotFound(f"the bytes of {names.shown(output.path)} are not on the branch")
        content = blobs[output.path]
    present = remotes.list_remotes(ledger)
    tree = files(run, record, output, present, model, description, content)
    repository = ledger.repository
    store = Store(repository)
    code = code_of(ledger, run)
    parents = [code] if code else []
    return write_commit(repository, store, store_files(store, tree), parents, message)


def code_of(ledger: Ledger, run: Run) -> str | None:
    """Returns the commit with the run's exact code, None if it is not to be kept or gone."""
    code = run.source.snapshot or run.source.commit
    if code is None or ledger.repository.config.get("mlgit.code") == "sha":
        return None
    return None if isinstance(ledger.reader.find(code), Missing) else code


def keep(ledger: Ledger, commit: str, tells: Mapping[str, bytes], message: str) -> None:
    """Adds files to the branch in a commit that has the version commit as second parent.

    So it is reachable, and `git push --follow-tags origin mlgit` carries its git tag.
    """
    append(ledger.repository, tells, message, code=commit)


def contents(ledger: Ledger, commit: str) -> list[str]:
    """Returns the paths of the files in a version commit that are for people."""
    found = ledger.repository.listing("ls-tree", "-r", "-z", "--name-only", commit)
    paths = [path.decode(errors="replace") for path in found]
    return [path for path in paths if not path.startswith(".dvc")]
