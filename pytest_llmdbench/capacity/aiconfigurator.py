"""The speed of an engine as aiconfigurator-core estimates it: from kernels that its makers timed one by one.

It is an extra: it knows vLLM on some ten GPUs of NVIDIA, and its first answer takes a quarter of a minute. It is asked
for an engine under a closed loop; what has no place in the KV cache waits, as with the roofline.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final

from pytest_llmdbench.capacity.aiconfigurator_model import model_path, quantization_modes
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import Gpu, gpus
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.speed import Speed, places, under
from pytest_llmdbench.errors import DeclarationError

#: Shares by which it may be wrong: four of five engines that others timed, and that it knows, are within.
TPOT_ERROR: Final = 0.30
TTFT_ERROR: Final = 0.70
_PACKAGE: Final = "aiconfigurator_core"
_ENGINE: Final = "vllm"


def speed(config: Configuration, load: Load) -> Speed:
    """The speed of one replica.

    Raises:
        DeclarationError: aiconfigurator-core is not installed, or has no data for this engine (says what it has); not
            one request has a place; the replica cannot keep up with the rate.
    """
    require()
    engine = _Engine(config, load)
    return under(load, engine.room * config.data_parallel_size, engine.closed)


def require() -> None:
    """Raise DeclarationError where it is not installed."""
    if find_spec(_PACKAGE) is None:
        raise DeclarationError(
            "the estimator aiconfigurator is not installed: pip install 'pytest-llmdbench[aiconfigurator]'"
        )


class _Engine:
    """One engine, and the load that it is asked for."""

    def __init__(self, config: Configuration, load: Load) -> None:
        from aiconfigurator_core.sdk.backends.factory import get_backend
        from aiconfigurator_core.sdk.models import get_model

        self._config, self._load = config, load
        self.room = places(config, load)
        self._database = _database(_system(config.gpu))
        # It keeps its answers by the load alone, so no two engines share one.
        self._backend = get_backend(_ENGINE)
        with _explained(config):
            self._model = get_model(model_path(config.model), _parallelism(config), _ENGINE)

    def closed(self, in_flight: float) -> Speed:
        """With ``in_flight`` requests in a closed loop."""
        load, copies = self._load, self._config.data_parallel_size
        each = max(1.0, in_flight / copies)
        running = min(each, self.room)
        # Its batch is that of one stage of the pipeline.
        found = self._ask(max(1, round(running / self._config.pipeline_parallel_size)))
        told, steps = found.get_result_dict(), max(0.0, load.output_tokens - 1)
        ttft, tpot = float(told["ttft"]) / 1e3, float(told["tpot"]) / 1e3 if steps else 0.0
        cycle = ttft + steps * tpot
        waits = max(0.0, each - running) * cycle / running
        # Answers of one token have no rate of theirs.
        per_second = float(told["seq/s"]) or copies * running / cycle
        return Speed(
            ttft=waits + ttft,
            tpot=tpot,
            e2e=waits + cycle,
            requests_per_second=per_second,
            output_tokens_per_second=per_second * load.output_tokens,
            prompt_tokens_per_second=per_second * load.prompt_tokens,
            concurrency=in_flight,
            running=running * copies,
            prefill_share=_prefill_share(found.get_per_ops_data()["scheduling"]),
            source=f"aiconfigurator-core {version(_PACKAGE)}, from kernels of vLLM {self._database.version}",
            ttft_error=TTFT_ERROR,
            tpot_error=TPOT_ERROR,
        )

    def _ask(self, batch: int) -> Any:
        from aiconfigurator_core.sdk.config import RuntimeConfig

        prompt = round(self._load.prompt_tokens)
        run = RuntimeConfig(
            batch_size=batch,
            isl=prompt,
            osl=round(self._load.output_tokens),
            prefix=prompt - round(self._load.computed),
        )
        with _explained(self._config):
            return self._backend.run_agg(self._model, self._database, run, ctx_tokens=min(prompt, self._config.tokens))


def _parallelism(config: Configuration) -> Any:
    from aiconfigurator_core.sdk.config_builders import build_model_config

    products, experts, kv_cache = quantization_modes(config)
    spread = config.expert_ranks if config.enable_expert_parallel else 1
    return build_model_config(
        tp_size=config.tensor_parallel_size,
        pp_size=config.pipeline_parallel_size,
        attention_dp_size=config.data_parallel_size,
        moe_tp_size=config.expert_ranks // spread,
        moe_ep_size=spread,
        gemm_quant_mode=products,
        moe_quant_mode=experts,
        kvcache_quant_mode=kv_cache,
    )


def _prefill_share(steps: dict[str, float]) -> float:
    """What the steps with prompts in them take longer than the others would, of the whole."""
    mixed, plain = steps["mix_step_latency_ms"], steps["genonly_step_latency_ms"]
    whole = steps["num_mix_steps"] * mixed + steps["num_genonly_steps"] * plain
    return steps["num_mix_steps"] * max(0.0, mixed - plain) / whole if whole else 0.0


def _system(gpu: Gpu) -> str:
    """What it calls a GPU."""
    known = _systems()
    found = next((name for name in known if gpus().get(name) == gpu), None)
    if found is None:
        raise DeclarationError(
            f"aiconfigurator-core has no kernels of vLLM on this GPU; it has {', '.join(known)} (the estimator "
            "roofline takes all GPUs)"
        )
    return found


@cache
def _systems() -> list[str]:
    from aiconfigurator_core.sdk.perf_database import get_supported_databases

    # It tells of every table that it fills up from older ones.
    logging.getLogger(_PACKAGE).setLevel(logging.ERROR)
    return sorted(system for system, engines in get_supported_databases().items() if engines.get(_ENGINE))


@cache
def _database(system: str) -> Any:
    from aiconfigurator_core.sdk.perf_database import get_database

    return get_database(system, _ENGINE, "current")


@contextmanager
def _explained(config: Configuration) -> Iterator[None]:
    """Its refusals as ours: one sentence, no path of this machine."""
    try:
        yield
    except (ValueError, RuntimeError, NotImplementedError) as error:
        why = re.sub(r" at /\S+", "", str(error).partition("\n")[0]).removeprefix("perf database error: ")
        raise DeclarationError(
            f"aiconfigurator-core has no answer for {config.model.name} ({config.model.quantization.name}) on "
            f"{config.gpu.name}: {why:.300}"
        ) from error
