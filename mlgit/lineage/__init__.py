"""Lineage: which data trained a model, which models a file trained.

graph.py walks the graph and knows nothing of git; collect.py gives it the edges, from
the ledger's index, the folders' manifests (folders.py) and DVC's pipelines
(stages.py); find.py says what a person means by X; formats.py, prov.py and
openlineage.py write what was found. datasets.py is the same index seen by dataset.
"""
