"""Data remotes as the ledger knows them: who shares the bytes, and where.

A remote is a fold of facts below `remotes/<name>/facts/` on the branch, so everybody
with the repository has it: "add" and "change" say {"url", "options"}, "remove" and
"default" say nothing more. The last word wins, in order of id.

Everybody reads them, so they hold no credentials and no machine's paths. A folder is
said to be `local:`; where it lies is a setting of each machine, in git's
configuration: `mlgit.data.<name>.url`. Settings there called `endpointurl`, `keyfile`,
`port`, `profile`, `region` or `user` win over what the facts say.

The URL said is the very folder of our objects: the one given, and `/mlgit`, because
`dvc gc -c` deletes what it finds below the URL of the user's own remotes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping

from mlgit import names, records
from mlgit.data.remote import LOCAL, OPTIONS, Remote, check_shared, with_prefix
from mlgit.errors import Invalid, NotFound
from mlgit.ledger import Ledger, append, walk
from mlgit.ledger.repository import Repository
from mlgit.ledger.secrets import find_secret
from mlgit.records import Fact

_SETTINGS = sorted({"keyfile"}.union(*OPTIONS.values()))


def add(
    repository: Repository,
    name: str,
    url: str,
    options: Mapping[str, str] | None = None,
    *,
    shared: bool = False,
) -> Remote:
    """Adds a data remote, or changes the one of this name, and returns it.

    `url` is a folder, `s3://bucket/path` or `ssh://[user@]host[:port]/path`. With
    `shared` objects lie at `url` itself, among others', and not below `mlgit/`. The
    first remote is the default.

    Raises:
        Invalid: not such a URL or option, or one that holds a credential.
        WriteFailed, Unreadable: see `mlgit.ledger.append`.
    """
    names.remote_name(name)
    place = url if shared else with_prefix(url)
    options = dict(options or {})
    if "://" not in url or url.startswith("file://"):
        folder = os.path.abspath(os.path.expanduser(place.removeprefix("file://")))
        check_shared(LOCAL, options)
        repository.git("config", f"mlgit.data.{name}.url", folder)
        repository.__dict__.pop("config", None)  # it was read before
        place = LOCAL
    else:
        check_shared(place, options)
    if secret := find_secret("\n".join([place, *options.values()]).encode()):
        raise Invalid(f"this holds a credential ({secret}), and everybody is going to read it")
    with Ledger(repository) as ledger:
        present = list_remotes(ledger) if ledger.exists else []
    known = {remote.name: remote.is_default for remote in present}
    kind = "change" if name in known else "add"
    facts = [_fact(repository, kind, {"url": place, "options": options})]
    if not known:
        facts.append(_fact(repository, "default"))
    _append(repository, name, facts, f"{kind} data remote {name}: {place}")
    return Remote(name, place, options, is_default=known.get(name, not known))


def remove(repository: Repository, name: str) -> None:
    """Removes a data remote; what it holds stays where it is.

    Raises:
        NotFound: there is none of this name.
    """
    with Ledger(repository) as ledger:
        find(ledger, name)
    _append(repository, name, [_fact(repository, "remove")], f"remove data remote {name}")


def set_default(repository: Repository, name: str) -> None:
    """Makes a data remote the one that is used where none is named.

    Raises:
        NotFound: there is none of this name.
    """
    with Ledger(repository) as ledger:
        find(ledger, name)
    _append(repository, name, [_fact(repository, "default")], f"default data remote {name}")


def list_remotes(ledger: Ledger) -> list[Remote]:
    """Returns the data remotes as everybody has them, by name. Bad facts are passed over."""
    return fold(walk.named_facts(ledger.reader, ledger.root, "remotes"))


def fold(facts: Mapping[str, Iterable[Fact]]) -> list[Remote]:
    """Returns the remotes that facts, by remote's name, add up to, whatever order they come in."""
    present: dict[str, Remote] = {}
    default = ""
    everything = [(fact.id, name, fact) for name, said in facts.items() for fact in said]
    for _, name, fact in sorted(everything, key=lambda item: item[:2]):
        if fact.kind in ("add", "change"):
            url, options = fact.data.get("url"), fact.data.get("options", {})
            if isinstance(url, str) and isinstance(options, dict):
                try:
                    check_shared(url, options)
                except Invalid:
                    continue
                present[name] = Remote(name, url, options)
        elif fact.kind == "remove":
            present.pop(name, None)
        elif fact.kind == "default":
            default = name
    if default not in present and len(present) == 1:
        (default,) = present
    return [present[name]._replace(is_default=name == default) for name in sorted(present)]


def find(ledger: Ledger, name: str | None = None) -> Remote:
    """Returns the data remote of this name, or the default one.

    Raises:
        NotFound: there is none, or there are several and no default.
    """
    present = list_remotes(ledger) if ledger.exists else []
    for remote in present:
        if remote.name == name or (name is None and remote.is_default):
            return remote
    if not present:
        raise NotFound(
            "there is no data remote", "mlgit remote add NAME s3://bucket/path (or a folder)"
        )
    known = ", ".join(remote.name for remote in present)
    if name is None:
        raise NotFound(
            "there are several data remotes and none is the default",
            f"name one, or choose: mlgit remote default {present[0].name} (known: {known})",
        )
    raise NotFound(f"there is no data remote {names.shown(name)}", f"there is {known}")


def here(repository: Repository, remote: Remote) -> Remote:
    """Returns the remote as this machine reaches it: where a folder lies, its own settings."""
    prefix = f"mlgit.data.{remote.name}."
    if remote.is_local:  # only then, so that a folder given up holds nothing back
        folder = repository.config.get(prefix + "url")
        top = repository.work_tree or repository.common_dir
        return (
            remote._replace(url=os.path.join(top, os.path.expanduser(folder))) if folder else remote
        )
    own = {key: repository.config.get(prefix + key) for key in _SETTINGS}
    return remote._replace(
        options={**remote.options, **{key: value for key, value in own.items() if value}}
    )


def dvc_config(remotes: Iterable[Remote]) -> bytes:
    """Returns the text of `.dvc/config` with which plain DVC finds the objects.

    Of a folder only the name is in it. Where it lies on a machine DVC is told once, by
    `dvc config --global remote.NAME.url PATH`, or by `--remote-config url=PATH`.

    >>> storage = Remote("storage", "s3://data/mlgit", {"region": "eu-west-1"}, True)
    >>> print(dvc_config([storage]).decode(), end="")
    [core]
        remote = storage
    ['remote "storage"']
        url = s3://data/mlgit
        region = eu-west-1
    """
    remotes = list(remotes)
    lines = [f"[core]\n    remote = {remote.name}" for remote in remotes if remote.is_default]
    for remote in remotes:
        if remote.url != LOCAL:
            lines.append(f"['remote \"{remote.name}\"']\n    url = {remote.url}")
            lines += [f"    {key} = {value}" for key, value in sorted(remote.options.items())]
    return "".join(line + "\n" for line in lines).encode()


def _fact(repository: Repository, kind: str, content: Mapping[str, object] | None = None) -> Fact:
    return Fact(
        id=names.new_id(),
        time=names.timestamp(time.time()),
        by=repository.person,
        kind=kind,
        data=dict(content or {}),
    )


def _append(repository: Repository, name: str, facts: Iterable[Fact], headline: str) -> None:
    files = {names.remote_fact_file(name, fact.id): records.dump_fact(fact) for fact in facts}
    append(repository, files, f"{headline}\n")
