"""Engines that really started: what their logs say of memory, beside what was estimated before.

It is worked out once, when a stack is up, and kept among the stack's facts, as JSON-able data under ``FACT``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pytest_llmdbench.capacity import FACT
from pytest_llmdbench.capacity.calibration import Compared, compare, read_log
from pytest_llmdbench.capacity.corrections import corrected, store
from pytest_llmdbench.capacity.engines import Role, engines, name_of, roles
from pytest_llmdbench.capacity.products import Product, is_unnamed, product_of_log
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Started:
    """The engine of one role, as it was estimated, with all that both estimate and log know.

    ``correction_gib`` is what earlier starts had added to the KV cache of the estimate. ``gpu_known`` says how the GPU
    is known where the scenario does not name it.
    """

    role: str
    model: str
    gpu: str
    gpus: int
    vllm: str
    correction_gib: float
    compared: tuple[Compared, ...]
    gpu_known: str = ""

    @property
    def name(self) -> str:
        """``Qwen/Qwen3-32B on 1 x H100-SXM-80GB, vLLM 0.26.0``."""
        return f"{self.model} on {self.gpus} x {self.gpu}, vLLM {self.vllm}"


def facts_of_start(
    scenario: Scenario, logs: Mapping[str, str], corrections: Path, products: Mapping[Role, Product] | None = None
) -> dict[str, Any]:
    """The fact of a stack whose engines left these ``logs`` (role -> file); empty where there is nothing to compare.

    ``products`` are the GPUs of roles where the scenario names none, as :func:`products_of_start` finds them. An engine
    of which too little is known, one without a GPU and a log without a word of memory are left out.
    """
    found = list(_started(scenario, logs, corrections, products or {}))
    return {FACT: [asdict(one) for one in found]} if found else {}


def products_of_start(
    scenario: Scenario, logs: Mapping[str, str], nodes: Mapping[Role, Product]
) -> dict[Role, Product]:
    """The GPUs of roles where the scenario names none: by ``nodes``, what labels of nodes say, or else by a log."""
    if not is_unnamed(scenario.accelerator):
        return {}
    named = ((role, logs.get(name_of(role))) for role in roles(scenario) if role not in nodes)
    said = {role: product_of_log(Path(file)) for role, file in named if file}
    return {**nodes, **{role: product for role, product in said.items() if product}}


def without_gpu(scenario: Scenario, logs: Mapping[str, str], products: Mapping[Role, Product]) -> list[str]:
    """Names of roles whose start could be compared if only their GPU were known."""
    if not is_unnamed(scenario.accelerator):
        return []
    # Of an engine on any GPU all else has to be known.
    any_gpu = {role: Product("H100", "") for role in roles(scenario) if role not in products}
    others = (name_of(engine.role) for engine in engines(scenario, any_gpu))
    return [name for name in others if name in logs and "kv_cache_bytes" in _values(logs[name])]


def _values(log: str) -> Mapping[str, float]:
    try:
        return read_log(Path(log)).values
    except DeclarationError:
        return {}


def _started(
    scenario: Scenario, logs: Mapping[str, str], corrections: Path, products: Mapping[Role, Product]
) -> Iterator[Started]:
    for engine in engines(scenario, products):
        role = name_of(engine.role)
        if role not in logs:
            continue
        try:
            log = read_log(Path(logs[role]))
            config = corrected(replace(engine.config, version=log.version or engine.config.version), corrections)
            # One that started against a rule is not the engine that the formulas are of.
            compared = () if config.unread or validate(config).broken else tuple(compare(config, log.values))
        except DeclarationError:
            continue
        if compared:
            name, gpu, known = config.model.name, config.gpu.name, engine.gpu_known
            yield Started(role, name, gpu, config.gpus, config.version, config.correction_gib, compared, known)


def read_started(facts: Any) -> list[Started]:
    """The engines among the facts of a stack; none where there is no such fact, or not one of this form."""
    from pydantic import ValidationError

    fact = facts.get(FACT) if isinstance(facts, Mapping) else None
    if fact is None:
        return []
    try:
        found: list[Started] = _adapter().validate_python(fact)
    except ValidationError:
        return []
    return found


def store_started(scenario: Scenario, started: Sequence[Started], corrections: Path) -> Iterator[str]:
    """Keep what the starts of a scenario's engines showed as corrections; gives a line for each, also why not."""
    names = {name_of(role): role for role in roles(scenario)}
    products = {names[one.role]: Product(one.gpu, one.gpu_known) for one in started if one.role in names}
    known = {name_of(engine.role): engine.config for engine in engines(scenario, products)}
    for one in started:
        if one.role not in known:
            continue
        try:
            kept = store(replace(known[one.role], version=one.vllm), one.compared, corrections)
        except DeclarationError as error:
            yield f"{one.name}: {error}"
            continue
        yield f"kept in {corrections}: the KV cache of {one.name} is {kept.kv_gib:+.2f} GiB from what is estimated"


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(list[Started])
