"""Which model or version a person means."""

from __future__ import annotations

from collections.abc import Iterable

from mlgit import tags
from mlgit.errors import NotFound
from mlgit.names import shown
from mlgit.registry.fold import Model, Registry, Version

_MLFLOW = "models:/"
FORMS = "write it as churn@v2, churn@production, churn@latest or models:/churn/2"


def split(text: str) -> tuple[str, str | None]:
    """Returns the model's name and what is said of the version, None if nothing is.

    >>> split("churn@v2"), split("models:/churn/Production"), split("models:/churn@champion")
    (('churn', 'v2'), ('churn', 'Production'), ('churn', 'champion'))
    """
    if text.startswith(_MLFLOW):
        rest = text.removeprefix(_MLFLOW)
        sign = "@" if "@" in rest else "/"
        name, found, version = rest.rpartition(sign)
        return (name, version) if found else (rest, None)
    name, found, version = text.rpartition("@")
    return (name, version) if found else (text, None)


def model_named(registry: Registry, name: str) -> Model:
    """Returns the model with this title, or that had this name before it was renamed.

    Raises:
        NotFound: there is none.
    """
    models = registry.models.values()
    for model in models:
        if model.title == name:
            return model
    for model in models:
        if name in (model.name, *model.former):
            return model
    raise NotFound(
        f"there is no model {shown(name)}",
        _nearest(name, [model.title for model in models]) or "list them: mlgit model ls",
    )


def version_meant(model: Model, said: str) -> Version:
    """Returns the version that is meant by a number, a stage, an alias or "latest".

    MLflow's names of stages are ours, whatever their case; None is the newest version
    in no stage.

    Raises:
        NotFound: there is none, or it was withdrawn.
    """
    if said.lower() == "latest":
        if model.latest is None:
            raise NotFound(f"the model {model.title} has no version")
        return model.latest
    for label in (said, said.lower()):
        if (holder := model.holder(label)) is not None:
            return holder
    if said.lower() == "none":
        for version in model.present:
            if version.stage is None:
                return version
    number = tags.find_version(said)
    for version in model.versions:
        if version.version == number:
            if version.withdrawn:
                raise NotFound(
                    f"{version.name} was withdrawn",
                    f"bring it back: mlgit model restore {version.name}",
                )
            return version
    known = [label for v in model.present for label in (v.short, v.stage, *v.aliases) if label]
    raise NotFound(
        f"the model {model.title} has no version, stage or alias {shown(said)}",
        _nearest(said, known) or f"it has {', '.join(dict.fromkeys(known)) or 'none'}",
    )


def _nearest(said: str, known: Iterable[str]) -> str | None:
    import difflib  # only a mistake pays for it

    close = difflib.get_close_matches(said, {*known}, 3)
    return "did you mean " + " or ".join(sorted(close)) + "?" if close else None
