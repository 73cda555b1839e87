"""Which keys inference-perf's configuration has, by version: a profile may hold no others.

The shipped keys are those of version 0.7; one table says which of them version 0.6 has not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError, nearest

#: The version that has them all.
NEWEST: Final = "0.7.0"
#: What 0.6 has not, by the model that it stands in.
SINCE_0_7: Final[Mapping[str, frozenset[str]]] = {
    "APIConfig": frozenset({"session_token_header_key"}),
    "CustomTokenizerConfig": frozenset({"load_timeout"}),
    "DataConfig": frozenset({"synthetic_agentic", "use_chat_template"}),
    "LoadConfig": frozenset({"request_retries", "request_retry_backoff_sec", "stage_teardown_grace_seconds"}),
    "OTelTraceReplayConfig": frozenset({"predecessor_wait_timeout_sec", "tool_choice_mode"}),
    "RequestLifecycleMetricsReportConfig": frozenset({"per_request_fields"}),
    "WekaTraceReplayConfig": frozenset(
        {"bad_tool_call_handling", "datagen_workers", "filter", "predecessor_wait_timeout_sec", "tool_choice_mode"}
    ),
}
#: Below this, the program takes any key.
_ANYTHING: Final = "*"


def is_0_6(version: str) -> bool:
    """Whether a version is of the 0.6 releases, which lack some keys."""
    return version.startswith("0.6.")


def known_keys(version: str) -> frozenset[str]:
    """Every key of a version's configuration, without where it stands."""
    return frozenset(key for model in _schema() for key in _keys(model, version))


def check_keys(tree: Any, models: Sequence[str], place: str, version: str) -> None:
    """Raise DeclarationError for a key below ``place`` that none of ``models``, or not this version of them, has."""
    if isinstance(tree, list):
        for index, item in enumerate(tree):
            check_keys(item, models, f"{place}{index}.", version)
    if not isinstance(tree, Mapping) or _ANYTHING in models or not models:
        return
    keys = _merged(models, version)
    for key, value in tree.items():
        if key not in keys:
            if key in _merged(models, NEWEST):
                raise DeclarationError(f"inference-perf {version} has no key '{place}{key}' yet; {NEWEST} has")
            raise DeclarationError(f"inference-perf has no key '{place}{key}'; {nearest(str(key), keys)}")
        check_keys(value, keys[key], f"{place}{key}.", version)


def _merged(models: Sequence[str], version: str) -> Mapping[str, Sequence[str]]:
    """Key -> the models that its value may be, where the value that holds it may be any of several models."""
    keys: dict[str, list[str]] = {}
    for model in models:
        for key in _keys(model, version):
            keys.setdefault(key, []).extend(_schema()[model][key])
    return keys


def _keys(model: str, version: str) -> frozenset[str]:
    later = SINCE_0_7.get(model, frozenset()) if is_0_6(version) else frozenset()
    return frozenset(_schema()[model]) - later


@cache
def _schema() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Model -> key -> the models that its value may be, from the program's own configuration classes."""
    text = Path(__file__).with_name("inference_perf_keys.json").read_text(encoding="utf-8")
    schema: Mapping[str, Mapping[str, Sequence[str]]] = json.loads(text)
    return schema
