"""The registry: models, versions and stages as annotated git tags that anyone can check.

events.py reads and writes the tags, fold.py adds them up, state.py does both, find.py says
which version a person means, verbs.py what people do. In Python:

    from mlgit import registry
    registry.get("churn@production").run
"""

from mlgit.registry.api import download, get, model, models
from mlgit.registry.events import Event
from mlgit.registry.fold import STAGES, Model, Registry, Version, fold
from mlgit.registry.state import load, load_model

__all__ = [
    "STAGES",
    "Event",
    "Model",
    "Registry",
    "Version",
    "download",
    "fold",
    "get",
    "load",
    "load_model",
    "model",
    "models",
]
