"""Where what is made once and used by every later run is kept: environments of load programs, tokenizers."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache of this plugin: ``LLMDBENCH_CACHE_DIR``, or the platform's place for caches."""
    given = os.environ.get("LLMDBENCH_CACHE_DIR")
    if given:
        return Path(given).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("llmdbench")
