"""What vLLM says while it starts: seconds, bytes and tokens by name, from the text of its log. Pure, standard library.

``python -m pytest_llmdbench.harnesses.startup_log LOG`` prints them as JSON. The wordings are those of vLLM 0.6 to
0.32; what a version does not say is absent. vLLM's GB and GiB are both 2**30 bytes. Where several processes say the
same (one a GPU), the engine waits for the slowest and has the cache of the smallest.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

GIB: Final = float(2**30)
#: Longer lines are cut: the longest that tells something, the engine's configuration, has about 5,000 characters.
_LINE: Final = 20_000
#: Bytes of a log that are read.
_LOG: Final = 64 * 2**20
_NUMBER: Final = r"(\d[\d,]{0,15}(?:\.\d{1,20})?)(?!\d)"


@dataclass(frozen=True)
class Said:
    """One line of the table: the words before a number in the log, and what the number is.

    ``then`` is what else is around it, a regular expression in which ``#`` is the number; ``unit`` is for people,
    ``scale`` makes it seconds, bytes or tokens. ``several`` says which one counts where several say it; ``sum`` adds up
    what one process says and takes the process with the most.
    """

    words: str
    name: str
    unit: str
    scale: float = 1.0
    then: str = "#"
    several: Literal["max", "min", "sum"] = "max"

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What is looked for."""
        return re.compile(re.escape(self.words) + self.then.replace("#", _NUMBER))


_COMPILE: Final = r"[^,]{1,60}(?:, [^,]{1,20})?"
#: What is read from a log. The first of a name that is there counts.
TABLE: Final = (
    Said("Time spent downloading weights for ", "download_s", "s", then=r"\S+: # s"),
    Said("Checkpoint size: ", "checkpoint_bytes", "GiB", GIB, "# GiB"),
    Said("Initializing model took ", "initialize_model_s", "s"),
    Said("Loading weights took ", "load_weights_s", "s"),
    Said("Model loading took ", "load_model_s", "s", then=r"[\d.]+ Gi?B(?: memory)? and # ?s"),
    Said("Model loading took ", "model_bytes", "GiB", GIB, "# Gi?B"),
    Said("Loading model weights took ", "model_bytes", "GB", GIB, "# Gi?B"),
    Said(
        "Overall time to stream ",
        "transfer_bytes_per_second",
        "GiB/s",
        GIB,
        r"[^:]{1,80}: [\d.]+ ?s, # GiB/s",
        "min",
    ),
    Said("Dynamo bytecode transform time: ", "dynamo_s", "s"),
    Said("Compiling a graph for ", "graph_compile_s", "s", then=_COMPILE + " takes # s", several="sum"),
    Said("Directly load the compiled graph(s) for ", "graph_load_s", "s", then=_COMPILE + ", took # s", several="sum"),
    Said("torch.compile takes ", "torch_compile_s", "s", then="# s in total"),
    Said("torch.compile took ", "torch_compile_s", "s", then="# s in total"),
    Said(
        "torch.compile and initial profiling",
        "torch_compile_and_profile_s",
        "s",
        then=r"[a-z/ ]{0,20} run (?:together )?took # s",
    ),
    Said("nitial profiling/warmup run took ", "profile_run_s", "s"),
    Said("Initial free memory: ", "free_bytes", "GiB", GIB, "# GiB", "min"),
    Said("Requested memory: ", "requested_bytes", "GiB", GIB, r"[\d.]+ \(util\), # GiB", "min"),
    Said("Memory profiling takes ", "memory_profiling_s", "s"),
    Said("Free memory after profiling: ", "free_after_profiling_bytes", "GiB", GIB, "# GiB", "min"),
    Said("non KV cache memory: ", "non_kv_bytes", "GiB", GIB, "# ?GiB"),
    Said("weights memory: ", "weights_bytes", "GiB", GIB, "# ?GiB"),
    Said("model weights take ", "weights_bytes", "GiB", GIB, "# ?GiB"),
    Said("torch peak memory increase: ", "activation_bytes", "GiB", GIB, "# ?GiB"),
    Said("PyTorch activation peak memory takes ", "activation_bytes", "GiB", GIB, "# ?GiB"),
    Said("non-torch forward increase memory: ", "non_torch_bytes", "GiB", GIB, "# ?GiB"),
    Said("non_torch_memory takes ", "non_torch_bytes", "GiB", GIB, "# ?GiB"),
    Said("Estimated CUDA graph memory: ", "cuda_graph_estimated_bytes", "GiB", GIB, "# GiB"),
    Said("Available KV cache memory: ", "kv_cache_bytes", "GiB", GIB, "# GiB", "min"),
    Said("memory reserved for KV Cache is ", "kv_cache_bytes", "GiB", GIB, "# ?GiB", "min"),
    Said("Explicitly set (", "kv_cache_bytes", "GiB", GIB, r"#/[\d.]+\) GiB for KV cache", "min"),
    Said(" KV cache size: ", "kv_cache_tokens", "tokens", then="# tokens", several="min"),
    Said("# GPU blocks: ", "kv_cache_blocks", "blocks", several="min"),
    Said("# cuda blocks: ", "kv_cache_blocks", "blocks", several="min"),
    Said(
        "aximum concurrency for ", "max_concurrency", "requests", then=r"[\d,]+ tokens per request: #x", several="min"
    ),
    Said("Using max model len ", "max_model_len", "tokens", several="min"),
    Said("Graph capturing finished in ", "cuda_graph_capture_s", "s", then="# sec"),
    Said("Graph capturing finished in ", "cuda_graph_bytes", "GiB", GIB, r"[\d.]+ secs?, took # GiB"),
    Said("init engine (", "engine_init_s", "s", then=r"[^)]{1,80}\) took # s"),
    Said("init engine (", "compilation_s", "s", then=r"[^)]{1,80}\) took [\d.]+ s(?:econds)? \(compilation: # s"),
    Said("It took ", "sleep_s", "s", then="# seconds to fall asleep"),
    Said("It took ", "wake_s", "s", then="# seconds to wake up"),
    Said("Sleep mode freed ", "sleep_freed_bytes", "GiB", GIB, "# GiB"),
    Said("Sleep mode freed ", "sleep_kept_bytes", "GiB", GIB, r"[\d.]+ GiB memory, # GiB memory is still in use"),
)


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the start, between two moments of :data:`MOMENTS`, in whole seconds: the log's times have no more."""

    name: str
    begin: str
    end: str


#: Moments of a start, each by words of the lines that stand for it. ``first`` is the first line with a time.
MOMENTS: Final[Mapping[str, Sequence[str]]] = {
    "asked": ("non-default args: ", "args: Namespace("),
    "engine": ("Initializing a V1 LLM engine", "Initializing a V0 LLM engine", "Initializing an LLM engine"),
    "loading": ("Starting to load model ",),
    "loaded": ("Model loading took ", "Loading model weights took ", "Loading weights took "),
    "warming": ("Warming up model for the compilation",),
    "warm": ("Warming up done",),
    "initialized": ("init engine (",),
    "serving": ("Starting vLLM API server", "Starting vLLM server on "),
}
#: Of these the last line counts, of the others the first: a model may be loaded in parts, by several processes.
_LAST: Final = ("loaded", "warm", "initialized", "serving")
PHASES: Final = (
    Phase("phase_imports_s", "first", "asked"),
    Phase("phase_model_info_s", "asked", "engine"),
    Phase("phase_workers_s", "engine", "loading"),
    Phase("phase_loading_s", "loading", "loaded"),
    Phase("phase_memory_and_compilation_s", "loaded", "initialized"),
    Phase("phase_warm_up_s", "warming", "warm"),
    Phase("phase_api_server_s", "initialized", "serving"),
    Phase("api_ready_s", "first", "serving"),
)

_TIME: Final = re.compile(r"\b(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) (\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\b")
_PROCESS: Final = re.compile(r"^\(([^()]{1,80})\)")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_VERSION: Final = re.compile(r"(?:LLM engine \(v|API server version )(\d+\.\d+[\w.+-]{0,60})")
_FORMAT: Final = re.compile(r"\bload_format=(?:LoadFormat\.|<LoadFormat\.)?(\w{1,40})")
_HALF_A_YEAR_S: Final = 183 * 86400.0
_SIDE_BY_SIDE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class StartupLog:
    """What a log told: vLLM's version, how it loads weights, and the values of :data:`TABLE` and :data:`PHASES`.

    Seconds, bytes, tokens, requests; only what is in the log is in ``values``.
    """

    version: str | None = None
    load_format: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)


def parse(text: str) -> StartupLog:
    """Read the log of one start of an engine; any text will do, one without a word of vLLM's tells nothing."""
    version = load_format = None
    found: dict[Said, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    moments: dict[str, datetime] = {}
    for line in _lines(text):
        for one in TABLE:
            if one.words in line and (match := one.pattern.search(line)):
                process = _PROCESS.match(line)
                found[one][process[1] if process else ""].append(float(match[1].replace(",", "")) * one.scale)
        if (match := _VERSION.search(line)) and version is None:
            version = match[1].removesuffix(")")
        if load_format is None and (match := _FORMAT.search(line)):
            load_format = match[1].lower()
        if (time := _time(line)) is not None:
            moments.setdefault("first", time)
            for name, words in MOMENTS.items():
                if (name not in moments or name in _LAST) and any(one in line for one in words):
                    moments[name] = time
    values: dict[str, float] = {}
    for one in TABLE:
        if one in found:
            values.setdefault(one.name, _one(found[one], one.several))
    return StartupLog(version, load_format, values | dict(_phases(moments)))


def _lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        # A progress bar writes over itself: what stands last is what people saw.
        shown = line.rstrip("\r").rpartition("\r")[2][:_LINE]
        yield _COLOUR.sub("", shown) if "\x1b" in shown else shown


def _one(said: Mapping[str, Sequence[float]], several: str) -> float:
    if several == "sum":
        return max(map(sum, said.values()))
    values = [value for of_process in said.values() for value in of_process]
    return min(values) if several == "min" else max(values)


def _time(line: str) -> datetime | None:
    match = _TIME.search(line[:200])
    if match is None:
        return None
    try:
        # The log does not say the year; one with 366 days takes every date there is.
        return datetime(2000, *map(int, match.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None


def _phases(moments: Mapping[str, datetime]) -> Iterator[tuple[str, float]]:
    for phase in PHASES:
        if phase.begin in moments and phase.end in moments:
            seconds = (moments[phase.end] - moments[phase.begin]).total_seconds()
            if seconds < -_HALF_A_YEAR_S:  # begun in the old year
                seconds += 366 * 86400
            # Processes write side by side: a line may come a moment before one that is older.
            if seconds >= -_SIDE_BY_SIDE_S:
                yield phase.name, max(0.0, seconds)


def _print() -> None:
    """Print as JSON what logs tell, each given as ``ROLE=PATH`` or ``PATH``: role or path -> version and values."""
    parser = argparse.ArgumentParser(description="Print as JSON what vLLM says in its log while it starts.")
    parser.add_argument("logs", nargs="+", metavar="[ROLE=]LOG", help="a file with the log of one start")
    told = {}
    for one in parser.parse_args().logs:
        role, _, path = one.rpartition("=")
        try:
            with Path(path).open("rb") as file:
                log = parse(file.read(_LOG).decode("utf-8", errors="replace"))
        except OSError as error:
            parser.error(f"{path}: cannot be read: {error.strerror}")
        told[role or path] = {"version": log.version, "load_format": log.load_format, "values": dict(log.values)}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    _print()
