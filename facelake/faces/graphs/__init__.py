"""Rewriting a model's graph so that it runs faster and gives the same numbers.

`ready_detector` and `ready_embedder` give the file to open: rewritten on first use, checked against
its original on two different images, and kept in a cache folder under the original's SHA-256.
"""

from facelake.faces.graphs.ready import ReadyModel, cache_folder, ready_detector, ready_embedder

__all__ = ["ReadyModel", "cache_folder", "ready_detector", "ready_embedder"]
