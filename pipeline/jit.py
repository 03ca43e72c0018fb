# SPDX-License-Identifier: Apache-2.0
"""Compilation of the numba kernels, ahead of use and kept between starts.

numba keys its on-disk cache by the file a kernel stands in, so a kernel that calls one of another file would keep
running the old one after an edit. The cache directory is therefore named by the hash of every source file that
holds kernels: any change starts a fresh cache.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def _cache_directory() -> Path:
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        text = source.read_bytes()
        if b"pipeline.jit" in text:
            digest.update(text)
    name = f"kernels-{digest.hexdigest()[:16]}"
    beside = Path(sys.prefix) / "var" / "koma"
    if sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK):
        return beside / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "koma" / name


os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache_directory()))

import numba  # noqa: E402  the cache directory is read at import


def kernel(function: Kernel) -> Kernel:
    """Compile `function` with numba: no Python objects, no GIL, kept on disk."""
    return cast("Kernel", numba.njit(nogil=True, cache=True)(function))


def inlined(function: Kernel) -> Kernel:
    """Compile a leaf that its callers take in whole."""
    return cast("Kernel", numba.njit(nogil=True, cache=True, inline="always")(function))
