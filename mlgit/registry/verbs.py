"""What people do to models: each verb decides from the state and writes its tags at once.

A verb returns the git tags it made. Nothing is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlgit import names, records, saved, tags, versions
from mlgit.errors import Invalid, NotFound, WrongState
from mlgit.ledger import Ledger, append
from mlgit.ledger.tagging import New
from mlgit.records import Run
from mlgit.registry import events
from mlgit.registry.events import Draft
from mlgit.registry.fold import MANY, STAGES, Model, Registry, Version
from mlgit.tags import EventName


def register(
    ledger: Ledger,
    registry: Registry,
    name: str,
    run: Run,
    path: str | None = None,
    *,
    version: str | None = None,
    description: str = "",
    reason: str = "",
) -> Version:
    """Registers a run's artifact as a new version of a model, and returns the version.

    The number is the next whole one, or `version`; no number is used twice. The version
    gets a commit of its own (see `mlgit.versions`), and the ledger says so in a commit
    that keeps it.

    Raises:
        NotFound: the run has no such artifact, or no model.
        Invalid: the name or number cannot be used.
        WriteFailed: it cannot be stored or signed.
    """
    name = tags.model_name(name)
    model = _model_for(registry, name)
    output = versions.model_output(run, path)
    if output is None:
        known = ", ".join(p.path for p in run.artifacts) or "none"
        raise NotFound(
            f"the run {run.id} has no model",
            f"log it with log_model, or name an artifact: {run.id[:10]}:PATH (it has {known})",
        )
    if output.md5 is None or output.stored is None:
        raise NotFound(f"of {names.shown(output.path)} only the hash was kept")
    number = _number_for(model, version)
    title = f"{name} {number}"
    commit = versions.build(
        ledger,
        run,
        output,
        f"{title}\n\nMlgit-Run: {run.id}\n",
        model=model.name,
        description=description,
    )
    made = Version(
        model=name,
        version=number,
        commit=commit,
        run=run.id,
        path=output.path,
        hash=output.md5,
        time="",
        by=ledger.repository.person.name,
        email=ledger.repository.person.email,
        reason=reason,
    )
    event = EventName(model.name, "register", version=number)
    _say(
        ledger,
        model,
        "register",
        {"version": number, "run": run.id, "path": output.path, "commit": commit},
        title,
        commit,
    )
    title = f"{name} {made.short}: registered from run {run.id[:10]}"
    events.write(
        ledger.repository, model.events, [Draft(event, commit, title, reason, _told(made))]
    )
    if description:
        describe(ledger, model, description, number)
    return made


def _model_for(registry: Registry, name: str) -> Model:
    for model in registry.models.values():
        if name in (model.title, model.name):
            return model
        if name.lower() in (model.title.lower(), model.name.lower()):
            raise Invalid(
                f"there is a model {model.title}, and {name} differs only in case",
                "some file systems cannot keep both apart; use the same name, or another",
            )
    return Model(name=name, title=name)


def _number_for(model: Model, version: str | None) -> str:
    if version is None:
        majors = [int(v.version[1:].partition(".")[0]) for v in model.versions]
        return f"v{1 + max(majors, default=0)}.0.0"
    number = tags.version_name(version)
    if any(v.version == number for v in model.versions):
        raise Invalid(f"{model.title} has a version {number} already", "no number is used twice")
    return number


def _told(version: Version, **more: str | None) -> dict[str, str]:
    told = {
        "Run": version.run,
        "Path": version.path,
        "Hash": version.hash,
        "Version": version.version,
        **more,
    }
    return {key: value for key, value in told.items() if value}


def promote(
    ledger: Ledger,
    model: Model,
    version: Version,
    stage: str,
    reason: str = "",
    *,
    archive_existing: bool = False,
    forced: str | None = None,
    stages: Sequence[str] = STAGES,
    after: str = "",
) -> list[New]:
    """Moves a version to a stage; who held the stage leaves it, or goes to `archived`.

    `forced` says what the policy had against it; `after` when the last approval was made
    that this stands on, by whatever clock.

    Raises:
        NotFound: there is no such stage.
        WrongState: the version is in it already.
        WriteFailed: the tags cannot be written or signed; none was.
    """
    stage = stage_named(stage, stages)
    if version.stage == stage:
        raise WrongState(f"{version.name} is in {stage} already")
    numbers = _numbers(model)
    drafts = [_leave(model, version, version.stage, numbers, reason)] if version.stage else []
    for holder in model.versions:
        if holder.stage == stage and holder is not version and stage not in MANY:
            drafts.append(_leave(model, holder, stage, numbers, reason))
            if archive_existing:
                drafts.append(_take(model, holder, "archived", numbers, reason, From=stage))
    more = {"From": version.stage, "Forced": forced}
    drafts.append(_take(model, version, stage, numbers, reason, **more))
    return events.write(ledger.repository, model.events, drafts, after)


def stage_named(said: str, stages: Sequence[str] = STAGES) -> str:
    """Returns the stage that is meant, in any case.

    Raises:
        NotFound: there is none of this name.
    """
    for stage in stages:
        if stage.lower() == said.lower():
            return stage
    raise NotFound(
        f"there is no stage {names.shown(said)}",
        f"there is {', '.join(stages)}; a free name is an alias: mlgit model alias",
    )


def demote(ledger: Ledger, model: Model, version: Version, reason: str = "") -> list[New]:
    """Takes a version out of its stage.

    Raises:
        WrongState: it is in none.
    """
    if version.stage is None:
        raise WrongState(f"{version.name} is in no stage")
    draft = _leave(model, version, version.stage, _numbers(model), reason)
    return events.write(ledger.repository, model.events, [draft])


def alias(ledger: Ledger, model: Model, version: Version, name: str, reason: str = "") -> list[New]:
    """Gives a version an alias, which leaves the version that had it.

    Raises:
        Invalid: the name cannot be one, or is a stage's.
        WrongState: the version has it already.
    """
    name = tags.label("alias", name)
    if name.lower() in (*STAGES, "latest", "none") or tags.find_version(name):
        raise Invalid(f"{name} cannot be an alias: it means something else")
    if name in version.aliases:
        raise WrongState(f"{version.name} has the alias {name} already")
    numbers = _numbers(model)
    drafts = [
        _leave(model, holder, name, numbers, reason)
        for holder in model.versions
        if name in holder.aliases
    ]
    drafts.append(_take(model, version, name, numbers, reason, Kind="alias"))
    return events.write(ledger.repository, model.events, drafts)


def unalias(ledger: Ledger, model: Model, name: str, reason: str = "") -> list[New]:
    """Takes an alias from the version that has it.

    Raises:
        NotFound: none has it.
    """
    for version in model.versions:
        if name in version.aliases:
            draft = _leave(model, version, name, _numbers(model), reason)
            return events.write(ledger.repository, model.events, [draft])
    raise NotFound(f"no version of {model.title} has the alias {names.shown(name)}")


def withdraw(ledger: Ledger, model: Model, version: Version, reason: str = "") -> list[New]:
    """Withdraws a version, which leaves its stage and aliases; its number stays taken."""
    numbers = _numbers(model)
    held = [label for label in (version.stage, *version.aliases) if label]
    drafts = [_leave(model, version, label, numbers, reason) for label in held]
    event = EventName(model.name, "withdraw", version=version.version, counter=next(numbers))
    subject = f"{model.title} {version.short}: withdrawn"
    drafts.append(Draft(event, version.commit, subject, reason, _told(version)))
    return events.write(ledger.repository, model.events, drafts)


def deprecate(ledger: Ledger, model: Model, reason: str = "") -> list[New]:
    """Deprecates a model: listings leave it out, nothing is deleted.

    Raises:
        WrongState: it is deprecated, or has no version.
    """
    if model.deprecated or not model.versions:
        raise WrongState(f"the model {model.title} is deprecated already")
    event = EventName(model.name, "deprecate", counter=events.next_number(model.events))
    draft = Draft(event, model.versions[0].commit, f"{model.title}: deprecated", reason, {})
    return events.write(ledger.repository, model.events, [draft])


def restore(
    ledger: Ledger, model: Model, version: Version | None = None, reason: str = ""
) -> list[New]:
    """Brings back a withdrawn version, or a deprecated model.

    Raises:
        WrongState: there is nothing to bring back.
    """
    if version is None:
        if not model.deprecated:
            raise WrongState(f"the model {model.title} is not deprecated")
        version = model.latest
        if version is None:
            raise WrongState(f"the model {model.title} has no version", "restore a version of it")
    elif not version.withdrawn and not model.deprecated:
        raise WrongState(f"{version.name} was not withdrawn")
    number = events.next_number(model.events)
    event = EventName(model.name, "register", version=version.version, counter=number)
    subject = f"{model.title} {version.short}: restored"
    draft = Draft(event, version.commit, subject, reason, _told(version))
    return events.write(ledger.repository, model.events, [draft])


def _numbers(model: Model) -> Iterator[int]:
    number = events.next_number(model.events)
    while True:
        yield number
        number += 1


def _leave(
    model: Model, version: Version, label: str, numbers: Iterator[int], reason: str
) -> Draft:
    event = EventName(model.name, "unassign", stage=label, counter=next(numbers))
    subject = f"{model.title} {version.short}: leaves {label}"
    return Draft(event, version.commit, subject, reason, _told(version, From=label))


def _take(
    model: Model,
    version: Version,
    label: str,
    numbers: Iterator[int],
    reason: str,
    **more: str | None,
) -> Draft:
    event = EventName(model.name, "assign", stage=label, counter=next(numbers))
    subject = f"{model.title} {version.short}: {label}"
    told = _told(version, **{"Kind": "stage", **more})
    return Draft(event, version.commit, subject, reason, told)


# --- facts -----------------------------------------------------------------------------


def describe(ledger: Ledger, model: Model, text: str, version: str | None = None) -> None:
    """Describes a model or a version, in Markdown; an empty text takes it away."""
    _say(ledger, model, "describe", {"text": text, "version": version})


def tag(ledger: Ledger, model: Model, key: str, value: str, version: str | None = None) -> None:
    """Sets a label of a model or a version."""
    content = {"key": names.key("tag", key), "value": value, "version": version}
    _say(ledger, model, "tag", content)


def untag(ledger: Ledger, model: Model, key: str, version: str | None = None) -> None:
    """Removes a label of a model or a version.

    Raises:
        NotFound: it has no such label.
    """
    chosen = [v for v in model.versions if v.version == version] if version else [model]
    if not any(key in each.tags for each in chosen):
        raise NotFound(f"there is no tag {names.shown(key)} to remove")
    _say(ledger, model, "untag", {"key": key, "version": version})


def rename(ledger: Ledger, registry: Registry, model: Model, name: str) -> None:
    """Gives a model another title; git tags keep the old name, and it keeps answering.

    Raises:
        Invalid: the name cannot be used, or another model has it.
    """
    name = tags.model_name(name)
    for other in registry.models.values():
        if other is not model and name.lower() in (other.title.lower(), other.name.lower()):
            raise Invalid(f"there is a model {other.title} already")
    _say(ledger, model, "rename", {"name": name})


def _say(
    ledger: Ledger,
    model: Model,
    kind: str,
    content: dict[str, Any],
    told: str = "",
    code: str | None = None,
) -> None:
    content = {key: value for key, value in content.items() if value is not None}
    fact = saved.fact(ledger.repository, kind, content)
    path = names.model_fact_file(model.name, fact.id)
    headline = f"{kind} model {told or model.title}"
    append(ledger.repository, {path: records.dump_fact(fact)}, f"{headline}\n", code)
