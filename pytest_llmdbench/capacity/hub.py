"""Files of a model in JSON from the Hugging Face hub, for those who ask for it; nothing else uses the network."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from pytest_llmdbench.capacity.checkpoint import MOST_BYTES
from pytest_llmdbench.errors import DeclarationError

_TIMEOUT_S: Final = 10.0


def fetch(name: str, file: str) -> Mapping[str, Any]:
    """Ask the hub (``HF_ENDPOINT``, with ``HF_TOKEN`` where it is set) for a file in JSON of ``OWNER/NAME``.

    Raises:
        DeclarationError: not a name of the hub, the hub cannot be reached or does not have it, or it is no JSON.
    """
    if not re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", name) or ".." in name:
        raise DeclarationError(f"model: '{name:.120}' is not a name of the hub; these are like Qwen/Qwen3-8B")
    return _fetch(name, file)


def fetch_beside(name: str, file: str) -> Mapping[str, Any] | None:
    """A file that not every model has beside its config.json; None where it is not there. Raises as :func:`fetch`."""
    return _fetch(name, file, needed=False) or None


def _fetch(name: str, file: str, *, needed: bool = True) -> Mapping[str, Any]:
    """One file of a model; empty where it is not there and not needed."""
    base = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not base.startswith(("https://", "http://")):
        raise DeclarationError("HF_ENDPOINT is no address of a hub; it begins with https://")
    request = urllib.request.Request(f"{base.rstrip('/')}/{name}/resolve/main/{file}")  # noqa: S310
    if token := os.environ.get("HF_TOKEN"):
        # The hub sends on to its stores, which have no business with the token.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            raw = answer.read(MOST_BYTES + 1)
        data: Any = json.loads(raw) if len(raw) <= MOST_BYTES else None
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404 and not needed:
            return {}
        way = "the model is gated, so set HF_TOKEN" if error.code in (401, 403) else "check the name"
        raise DeclarationError(f"model: the hub answered {error.code} for '{name}': {way}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DeclarationError(
            f"model: the hub could not be asked for '{name}' ({error}); give a folder with its config.json"
        ) from error
    if not isinstance(data, dict):
        raise DeclarationError(f"model: what the hub has for '{name}' is no {file} of a model")
    return data
