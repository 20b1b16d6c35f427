"""Bytes too large for the branch, kept as DVC keeps them.

For now this room only stores what a run itself writes (a long metric history);
inputs, models and remotes come to live here.
"""

from mlgit.data.store import load, put

__all__ = ["load", "put"]
