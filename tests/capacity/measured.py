"""The measured rows: start-up logs and speeds that others published, as configurations and what they really had."""

from __future__ import annotations

import csv
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.configuration import V1, Configuration
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.quantization import KNOWN as QUANTIZATIONS

DATA: Final = Path(__file__).parents[1] / "data" / "capacity"
#: Words in the column of the GPU -> its name in the table. An A5000 has the memory of a 3090.
GPUS: Final = {
    "H100": "H100", "L40S": "L40S", "NVIDIA L4": "L4", "A5000": "RTX-3090", "MI300X": "MI300X", "H200": "H200",
    "A10G": "A10G", "4090": "RTX-4090", "T4": "T4", "V100": "V100-32GB",
}  # fmt: skip
_DTYPES: Final = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


@dataclass(frozen=True)
class Started:
    """One engine that was really started: what it was, and what its log said (GiB, tokens, requests)."""

    config: Configuration
    truth: Mapping[str, float]
    starts: bool

    @property
    def h100(self) -> bool:
        return self.config.gpu.name.startswith("H100")

    @property
    def same_engine(self) -> bool:
        """Whether the formulas are of this engine."""
        return self.config.release >= V1

    def __str__(self) -> str:
        model = self.config.model.name.rpartition("/")[2]
        return f"{model}-{self.config.gpu.name}-tp{self.config.tensor_parallel_size}-{self.config.version}"


def started() -> list[Started]:
    return [_started(row) for row in rows("memory.csv")]


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _started(row: Mapping[str, str]) -> Started:
    gpu = next(name for word, name in GPUS.items() if word in row["gpu"])
    version = re.match(r"[\d.]+\d", row["vllm_version"])
    assert version
    config = Configuration(
        find_model(row["model"]),
        find_gpu(gpu),
        int(row["tp"]),
        int(row["pp"]),
        dtype=_DTYPES.get(row["dtype"], "auto"),
        kv_cache_dtype="fp8" if "kv=fp8" in row["quant"] else "auto",
        max_model_len=_whole(row["max_model_len"]),
        max_num_seqs=_whole(row["max_num_seqs"]),
        max_num_batched_tokens=_whole(row["max_num_batched_tokens"]),
        gpu_memory_utilization=float(row["gpu_memory_utilization"]),
        memory_gib=float(row["gpu_mem_gib"]) if row["gpu_mem_gib"] else None,
        enforce_eager=row["enforce_eager"] == "yes",
        enable_expert_parallel=row["notes"] == "expert parallel",
        offline="LLM class" in row["notes"] + row["source"] or row["model"].startswith("llava"),
        version=version[0],
    )
    columns = ("weights_gib", "kv_cache_gib", "kv_cache_tokens", "max_concurrency")
    truth = {name: float(row[name]) for name in columns if row[name]}
    return Started(config, truth, "FAILED" not in row["notes"])


def _whole(text: str) -> int | None:
    return int(text) if text else None


@dataclass(frozen=True)
class Errors:
    """Relative errors, shares of the truth without sign, in order."""

    values: Sequence[float]

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float]]) -> Errors:
        return cls(sorted(abs(found / truth - 1) for found, truth in pairs))

    @property
    def mean(self) -> float:
        return statistics.mean(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def p90(self) -> float:
        return self.values[int(0.9 * (len(self.values) - 1))]

    @property
    def most(self) -> float:
        return self.values[-1]

    def __str__(self) -> str:
        shown = f"mean {self.mean:.1%}, median {self.median:.1%}, p90 {self.p90:.1%}, max {self.most:.1%}"
        return f"{len(self.values)} rows: {shown}"


@dataclass(frozen=True)
class Timed:
    """One engine under one load that somebody timed: TTFT and TPOT in seconds."""

    number: str
    config: Configuration
    load: Load
    ttft: float
    tpot: float
    #: The row says of itself, or shows, that it cannot be what it says it is.
    #: Why the figures cannot be those of this engine; empty where they may be.
    suspect: str


def timed() -> list[Timed]:
    return [_timed(row) for row in rows("throughput.csv") if row["kind"] == "measured-latency"]


def _timed(row: Mapping[str, str]) -> Timed:
    tp, pp, dp, ep = (int(row[name] or 1) for name in ("tp", "pp", "dp", "ep"))
    if dp == tp and ep == tp * dp:
        # Their names say tp4_ep4, and their times are those of the rows that say tensor and expert parallel alone.
        dp = 1
    version = re.match(r"\d+\.\d+", row["engine_version"])
    prompt, output = int(row["isl"]), int(row["osl"])
    config = Configuration(
        _quantized(find_model(row["model"]), row["quant"]),
        find_gpu(row["gpu"]),
        tp,
        pp,
        dp,
        ep > 1,
        max_model_len=prompt + output + 200,
        gpu_memory_utilization=0.95,
        version=version[0] if version else "0.19",
    )
    load = Load(prompt, output, concurrency=int(row["concurrency"]))
    suspect = ""
    if row["notes"].startswith("suspect"):
        suspect = "marked in the table: prompts came at nearly the GPU's peak FLOP/s, so from the prefix cache"
    elif row["id"] == "97":
        suspect = "117 s to the first token and then 3.6 ms: 512 requests on an engine that ran about 100 of them"
    return Timed(row["id"], config, load, float(row["ttft_ms"]) / 1e3, float(row["tpot_ms"]) / 1e3, suspect)


def _quantized(model: Model, word: str) -> Model:
    if word == "fp4" and model.quantization.name == "mxfp4":
        return model
    return replace(
        model, quantization=QUANTIZATIONS[{"fp4": "nvfp4", "bf16": "none", "int4": "int4-experts"}.get(word, word)]
    )
