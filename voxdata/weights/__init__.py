"""Pretrained files: what there is (`catalogs/weights.toml`), where it lies on this machine, and how it gets there.

Code that needs a file asks `resolve("mobilefacenet")` or `path`; both give a file whose digest was checked, or raise
`WeightsError` with the command that brings it. docs/weights.md is the page for users.
"""

from __future__ import annotations

from voxdata.weights.cache import (
    CACHE_VARIABLE,
    Checked,
    cache_folder,
    how_to_get,
    import_file,
    is_present,
    path,
    resolve,
    sha256_of,
    verify,
)
from voxdata.weights.download import pull
from voxdata.weights.entries import REGISTRY_VARIABLE, Archive, Package, Weight, find, known_by_digest, registry
from voxdata.weights.tensors import load_state_dict

__all__ = [
    "CACHE_VARIABLE",
    "REGISTRY_VARIABLE",
    "Archive",
    "Checked",
    "Package",
    "Weight",
    "cache_folder",
    "find",
    "how_to_get",
    "import_file",
    "is_present",
    "known_by_digest",
    "load_state_dict",
    "path",
    "pull",
    "registry",
    "resolve",
    "sha256_of",
    "verify",
]
