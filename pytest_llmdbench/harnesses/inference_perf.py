"""inference-perf, the load generator of the Kubernetes project: how it is installed, told what to send, and read."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import yaml

from pytest_llmdbench.harnesses import inference_perf_files, inference_perf_profile, inference_perf_requests
from pytest_llmdbench.harnesses.environments import Environment
from pytest_llmdbench.harnesses.harness import STDOUT, Command, Place, PlannedStage, Profile, Progress
from pytest_llmdbench.harnesses.locks import lock
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Purpose, Result
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

#: The version that runs where none is asked for.
DEFAULT: Final = "0.7.0"
#: What the program is told, in the folder of the case.
CONFIG: Final = "inference-perf.yaml"
#: Where a profile has no seed: two runs of one profile send the same prompts.
SEED: Final = 42
#: Kinds of data that have a seed of their own, which is not made from that of the load.
SEEDED: Final = ("shared_prefix", "conversation_replay", "synthetic_agentic")
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

_STAGE_STARTED: Final = re.compile(rb"Stage (\d+) - (?:session-based )?run started")
#: Logged once for each request that got no whole answer; an answer with an HTTP error status is not logged.
_FAILED: Final = re.compile(
    rb"ERROR - (?:Client error during request|Request timed out|Unexpected error during request)"
)


class InferencePerf:
    """inference-perf; see :class:`~pytest_llmdbench.harnesses.harness.Harness`."""

    name = "inference-perf"
    purpose: Purpose = "load"
    clock: Literal["epoch", "monotonic"] = "monotonic"
    filled = (
        "server.base_url",
        "storage",
        *(f"report.request_lifecycle.{key}" for key in ("summary", "per_stage", "per_request")),
    )

    def __init__(self, version: str | None = None) -> None:
        self.version = version or DEFAULT
        #: Every key of the program's configuration.
        self.known_keys = inference_perf_profile.known_keys()
        self.environment = Environment(self.name, self.version, lock(self.name, self.version), size="640 MB")

    def stages(self, profile: Profile) -> Sequence[PlannedStage]:
        """The stages a profile will run; none for a sweep, which makes its own. Raises DeclarationError."""
        return inference_perf_profile.stages(profile)

    def expected_seconds(self, profile: Profile) -> float | None:
        """Wall seconds from start to end, about; None for closed loops, replays and sweeps."""
        return inference_perf_profile.expected_seconds(profile)

    def prepare(self, say: Say) -> None:
        """Install the program if it is not there yet. Raises HarnessError with the way out."""
        self.environment.prepare(say)

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        """Write the program's configuration into the folder and say how to start it. Raises DeclarationError."""
        config = _configuration(profile, self.stages(profile), endpoint, place)
        # The program's Python must find the program's packages, not those that PYTHONPATH holds for ours.
        env = {"PYTHONPATH": "", "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
        if Path(str(config["tokenizer"]["pretrained_model_name_or_path"])).is_dir():
            env["HF_HUB_OFFLINE"] = "1"
        reads = _brought(config, place.inside) if place.programs == "path" else {}
        file = place.folder.absolute() / CONFIG
        file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        program = self.name if place.programs == "path" else str(self.environment.program(self.name))
        argv = (program, "--config_file", str(place.inside / CONFIG))
        return Command(argv, place.folder.absolute(), env, {CONFIG: file, **reads})

    def watch(self, folder: Path) -> Callable[[], Progress]:
        """A function that reads on in the program's log: the stage it is in, the requests that got no whole answer."""
        return _watch(folder / STDOUT)

    def read(self, folder: Path) -> Result:
        """What the program's summaries in ``folder`` say. Raises HarnessError naming file and field."""
        return inference_perf_files.read(folder, self.version)

    def requests(self, folder: Path, own: Result) -> Iterator[Request] | None:
        """The requests of its ``per_request`` file. Raises HarnessError."""
        return inference_perf_requests.requests(folder, own)


def _watch(log: Path) -> Callable[[], Progress]:
    offset = failed = 0
    stage: int | None = None

    def look() -> Progress:
        nonlocal offset, failed, stage
        try:
            with log.open("rb") as file:
                file.seek(offset)
                text = file.read()
        except OSError:
            return Progress(stage, failed)
        lines = text[: text.rfind(b"\n") + 1]
        offset += len(lines)
        failed += len(_FAILED.findall(lines))
        for match in _STAGE_STARTED.finditer(lines):
            stage = int(match[1])
        return Progress(stage, failed)

    return look


def _configuration(
    profile: Profile, stages: Sequence[PlannedStage], endpoint: Endpoint, place: Place
) -> dict[str, Any]:
    """The profile, with what only the run knows, and with our defaults where it is silent."""
    config: dict[str, Any] = {key: deepcopy(value) for key, value in profile.items() if value is not None}
    server = _section(config, "server")
    server["base_url"] = endpoint.url
    _default(server, {"type": "vllm", "model_name": endpoint.model})
    tokenizer = _section(config, "tokenizer")
    _default(tokenizer, {"pretrained_model_name_or_path": endpoint.tokenizer})
    # A profile that names the model means its tokenizer, which need not have the model's name.
    if tokenizer["pretrained_model_name_or_path"] == endpoint.model:
        tokenizer["pretrained_model_name_or_path"] = endpoint.tokenizer
    _section(config, "storage")["local_storage"] = {"path": str(place.inside)}
    _report(_section(_section(config, "report"), "request_lifecycle"))
    load = _section(config, "load")
    at_once = _at_once(load, stages)
    _default(
        load,
        {
            "num_workers": _workers(place.processors),
            "worker_max_concurrency": at_once,
            "worker_max_tcp_connections": max(2500, at_once),
            "base_seed": SEED,
        },
    )
    # Lengths of random data need no total_count: the program raises it to what its longest stage sends.
    data = _section(config, "data")
    seeds = [(load, "base_seed")]
    if data.get("type") in SEEDED:
        section = _section(data, data["type"])
        _default(section, {"seed": SEED})
        seeds.append((section, "seed"))
    if place.index:
        for section, key in seeds:
            section[key] = int(section[key]) + place.index * SEEDS_APART
    return config


def _brought(config: dict[str, Any], inside: PurePosixPath) -> dict[str, Path]:
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


def _report(lifecycle: dict[str, Any]) -> None:
    lifecycle.update({"summary": True, "per_stage": True, "per_request": True})
    # Prompts, answers and raw chunks would make most of the file of single requests.
    _default(
        _section(lifecycle, "per_request_fields"),
        {"request": False, "response": False, "response_chunks": False, "computed_metrics": True},
    )
    # A stream's events are not tokens: count what the server says it made.
    _default(lifecycle, {"use_server_output_tokens": True})


def _at_once(load: Mapping[str, Any], stages: Sequence[PlannedStage]) -> int:
    if load.get("type") == inference_perf_profile.SESSION_LOAD:
        return SESSIONS_AT_ONCE
    return max(AT_ONCE, *(math.ceil((stage.rate or 0) * PATIENCE_S) for stage in stages), 0)


def _workers(own: int | None) -> int:
    """Worker processes: one a processor; half of them where the stack may be on the same machine; 8 are enough."""
    return min(8, max(1, (os.cpu_count() or 1) // 2 if own is None else own))


def _section(tree: dict[str, Any], key: str) -> dict[str, Any]:
    """The mapping below ``key``, made there if there is none."""
    value = dict(tree.get(key) or {})
    tree[key] = value
    return value


def _default(tree: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if tree.get(key) is None:
            tree[key] = value
