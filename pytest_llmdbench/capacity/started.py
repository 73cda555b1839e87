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
from pytest_llmdbench.capacity.engines import Engine, engines
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Started:
    """The engine of one role, as it was estimated, with all that both estimate and log know.

    ``correction_gib`` is what earlier starts had added to the KV cache of the estimate.
    """

    role: str
    model: str
    gpu: str
    gpus: int
    vllm: str
    correction_gib: float
    compared: tuple[Compared, ...]

    @property
    def name(self) -> str:
        """``Qwen/Qwen3-32B on 1 x H100-SXM-80GB, vLLM 0.26.0``."""
        return f"{self.model} on {self.gpus} x {self.gpu}, vLLM {self.vllm}"


def facts_of_start(scenario: Scenario, logs: Mapping[str, str], corrections: Path) -> dict[str, Any]:
    """The fact of a stack whose engines left these ``logs`` (role -> file); empty where there is nothing to compare.

    An engine of which too little is known, one without a GPU and a log without a word of memory are left out.
    """
    found = list(_started(scenario, logs, corrections))
    return {FACT: [asdict(one) for one in found]} if found else {}


def _started(scenario: Scenario, logs: Mapping[str, str], corrections: Path) -> Iterator[Started]:
    for engine in engines(scenario):
        role = _role_of_log(engine)
        if role not in logs:
            continue
        try:
            log = read_log(Path(logs[role]))
            config = corrected(replace(engine.config, version=log.version or engine.config.version), corrections)
            # One that started against a rule is not the engine that the formulas are of.
            compared = () if validate(config).broken else tuple(compare(config, log.values))
        except DeclarationError:
            continue
        if compared:
            name, gpu = config.model.name, config.gpu.name
            yield Started(role, name, gpu, config.gpus, config.version, config.correction_gib, compared)


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
    known = {_role_of_log(engine): engine.config for engine in engines(scenario)}
    for one in started:
        if one.role not in known:
            continue
        try:
            kept = store(replace(known[one.role], version=one.vllm), one.compared, corrections)
        except DeclarationError as error:
            yield f"{one.name}: {error}"
            continue
        yield f"kept in {corrections}: the KV cache of {one.name} is {kept.kv_gib:+.2f} GiB from what is estimated"


def _role_of_log(engine: Engine) -> str:
    """What the log of an engine's role is called: the pods of a standalone stack are its server."""
    return "server" if engine.role == "pods" else engine.role


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(list[Started])
