"""What inference-perf is told: a profile, with what only the run knows, and with our defaults where it is silent."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pytest_llmdbench.harnesses.harness import Place, PlannedStage, Profile
from pytest_llmdbench.harnesses.inference_perf_keys import is_0_6
from pytest_llmdbench.harnesses.inference_perf_profile import SESSION_DATA, SESSION_LOAD
from pytest_llmdbench.harnesses.sections import default, subsection
from pytest_llmdbench.stacks.spec import Endpoint

#: Where a profile has no seed: two runs of one profile send the same prompts.
SEED: Final = 42
#: Kinds of data that have a seed of their own, which is not made from that of the load.
SEEDED: Final = ("shared_prefix", "conversation_replay", "synthetic_agentic")
#: Kinds of data that are always downloaded.
HUB_DATA: Final = ("cnn_dailymail", "infinity_instruct", "billsum_conversations", "visionarena")
#: How far apart the seeds of programs side by side are: each gives its workers the seeds after its own.
SEEDS_APART: Final = 1000
#: Keys that may name a local file or folder, which has to be brought along to where the program runs; and to where.
LOCAL: Final = (
    "tokenizer.pretrained_model_name_or_path",
    "data.path",
    "data.corpus_file_path",
    "data.trace.file",
    "data.otel_trace_replay.trace_directory",
    "data.weka_trace_replay.trace_directory",
)
INPUTS: Final = "inputs"
#: A request may take so many seconds before the generator, at its limit of requests at once, holds others back.
PATIENCE_S: Final = 60
#: Requests at once that a worker is allowed in any case.
AT_ONCE: Final = 1000
#: Requests at once for replayed sessions, where those that wait for an earlier answer count as well.
SESSIONS_AT_ONCE: Final = 10_000


def configuration(
    profile: Profile, stages: Sequence[PlannedStage], version: str, endpoint: Endpoint, place: Place
) -> dict[str, Any]:
    """The whole configuration of a version of the program; ``stages`` are those of the profile."""
    config: dict[str, Any] = {key: deepcopy(value) for key, value in profile.items() if value is not None}
    server = subsection(config, "server")
    server["base_url"] = endpoint.url
    default(server, {"type": "vllm", "model_name": endpoint.model})
    tokenizer = subsection(config, "tokenizer")
    default(tokenizer, {"pretrained_model_name_or_path": endpoint.tokenizer})
    # A profile that names the model means its tokenizer, which need not have the model's name.
    if tokenizer["pretrained_model_name_or_path"] == endpoint.model:
        tokenizer["pretrained_model_name_or_path"] = endpoint.tokenizer
    subsection(config, "storage")["local_storage"] = {"path": str(place.inside)}
    _report(subsection(subsection(config, "report"), "request_lifecycle"), version)
    load = subsection(config, "load")
    at_once = _at_once(load, stages)
    default(
        load,
        {
            "num_workers": _workers(place.processors),
            "worker_max_concurrency": at_once,
            "worker_max_tcp_connections": max(2500, at_once),
            "base_seed": SEED,
        },
    )
    # Lengths of random data need no total_count: the program raises it to what its longest stage sends.
    data = subsection(config, "data")
    seeds = [(load, "base_seed")]
    if data.get("type") in SEEDED:
        section = subsection(data, data["type"])
        default(section, {"seed": SEED})
        seeds.append((section, "seed"))
    if place.index:
        for section, key in seeds:
            section[key] = int(section[key]) + place.index * SEEDS_APART
    return config


def from_hub(config: Mapping[str, Any]) -> bool:
    """Whether the program downloads the data that it sends."""
    data = config.get("data") or {}
    kind = data.get("type")
    if kind in SESSION_DATA:
        return (data.get(kind) or {}).get("hf_dataset_path") is not None
    return kind in HUB_DATA or (kind == "shareGPT" and data.get("path") is None)


def brought(config: dict[str, Any], inside: PurePosixPath) -> dict[str, Path]:
    """The local files that a configuration names, to be brought along; it is told where they will be."""
    found: dict[str, Path] = {}
    for dotted in LOCAL:
        *above, key = dotted.split(".")
        section: Any = config
        for part in above:
            section = (section or {}).get(part)
        path = Path(str((section or {}).get(key) or ""))
        if path.is_absolute() and path.exists():
            name = f"{INPUTS}/{dotted}"
            found[name] = path
            section[key] = str(inside / name)
    return found


def _report(lifecycle: dict[str, Any], version: str) -> None:
    lifecycle.update({"summary": True, "per_stage": True, "per_request": True})
    if not is_0_6(version):
        # Prompts, answers and raw chunks would make most of the file of single requests.
        default(
            subsection(lifecycle, "per_request_fields"),
            {"request": False, "response": False, "response_chunks": False, "computed_metrics": True},
        )
    # A stream's events are not tokens: count what the server says it made.
    default(lifecycle, {"use_server_output_tokens": True})


def _at_once(load: Mapping[str, Any], stages: Sequence[PlannedStage]) -> int:
    if load.get("type") == SESSION_LOAD:
        return SESSIONS_AT_ONCE
    return max(AT_ONCE, *(math.ceil((stage.rate or 0) * PATIENCE_S) for stage in stages), 0)


def _workers(own: int | None) -> int:
    """Worker processes: one a processor; half of them where the stack may be on the same machine; 8 are enough."""
    return min(8, max(1, (os.cpu_count() or 1) // 2 if own is None else own))
