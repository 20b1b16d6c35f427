"""Reading the registry in Python; writing is `mlgit.registry.verbs` and the command line."""

from __future__ import annotations

import os
from pathlib import Path

from mlgit import names
from mlgit.errors import NotFound
from mlgit.ledger import Ledger
from mlgit.ledger.objects import Object
from mlgit.registry.find import FORMS, model_named, split, version_meant
from mlgit.registry.fold import Model, Version
from mlgit.registry.state import load, load_model


def models(*, repository: str | os.PathLike[str] = ".") -> list[Model]:
    """Returns the models that are not deprecated, by name, with their versions."""
    with Ledger(repository) as ledger:
        found = load(ledger).models.values()
    return [model for model in found if not model.deprecated]


def model(name: str, *, repository: str | os.PathLike[str] = ".") -> Model:
    """Returns one model by its name.

    Raises:
        NotFound: there is none.
    """
    with Ledger(repository) as ledger:
        return load_model(ledger, name)


def get(version: str, *, repository: str | os.PathLike[str] = ".") -> Version:
    """Returns one version: "churn@v2", "churn@production", "models:/churn/2".

    Raises:
        NotFound: there is none.
    """
    with Ledger(repository) as ledger:
        return meant(ledger, version)[1]


def download(
    version: str, to: str | os.PathLike[str], *, repository: str | os.PathLike[str] = "."
) -> Path:
    """Writes a version's bytes, a file or a folder, to a new path and returns that path.

    Raises:
        NotFound: there is no such version, or its bytes are nowhere.
        Invalid: something else is at `to`.
        Unreadable: they are not the bytes that were registered.
    """
    target = Path(to)
    with Ledger(repository) as ledger:
        write(ledger, meant(ledger, version)[1], target)
    return target


def meant(ledger: Ledger, text: str, as_of: str | None = None) -> tuple[Model, Version]:
    """Returns the version that a text names, and its model; `as_of` is a stored time.

    Raises:
        NotFound: there is none, or the text names no version.
    """
    name, said = split(text)
    found = load_model(ledger, name) if as_of is None else model_named(load(ledger, as_of), name)
    if said is None:
        raise NotFound(f"{names.shown(text)} names no version", FORMS)
    return found, version_meant(found, said)


def write(ledger: Ledger, version: Version, target: Path) -> bool:
    """Writes a version's bytes to a path; False if the very same is there."""
    from mlgit import artifacts
    from mlgit.data import checkout, put

    md5 = version.hash
    if md5 is None:
        raise NotFound(f"the git tag of {version.name} names no data", f"git show {version.commit}")
    blob = ledger.reader.find(f"{version.commit}:model")
    if isinstance(blob, Object):  # a small model stands in the version commit itself
        md5 = put(ledger.repository.data_store, blob.data)
    else:
        artifacts.fetch(ledger, [md5])
    return checkout.checkout(ledger.repository.data_store, md5, target)
