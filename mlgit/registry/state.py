"""The registry as it stands, or stood: tags and facts read once and folded."""

from __future__ import annotations

from collections.abc import Collection

from mlgit.ledger import Ledger, walk
from mlgit.registry import events
from mlgit.registry.find import model_named
from mlgit.registry.fold import STAGES, Model, Registry, fold


def load(ledger: Ledger, as_of: str | None = None, stages: Collection[str] = STAGES) -> Registry:
    """Returns all models; `as_of` is a stored time, and what came later is left out."""
    facts = walk.named_facts(ledger.reader, ledger.root, "models") if ledger.exists else {}
    return fold(events.load(ledger.repository), facts, stages, as_of)


def load_model(ledger: Ledger, name: str, stages: Collection[str] = STAGES) -> Model:
    """Returns one model, by its title or a name it had; reads only its tags if it can.

    Raises:
        NotFound: there is none.
    """
    facts = walk.named_facts(ledger.reader, ledger.root, "models") if ledger.exists else {}
    renamed = any(fact.kind == "rename" for told in facts.values() for fact in told)
    if not renamed:  # then titles are the names that tags have
        found = fold(events.load(ledger.repository, name), facts, stages)
        if name in found.models:
            return found.models[name]
    found = fold(events.load(ledger.repository), facts, stages)
    return model_named(found, name)
