"""Answers as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_llmdbench.capacity.calibration import Compared
from pytest_llmdbench.capacity.candidate import HEADROOM, Candidate
from pytest_llmdbench.capacity.configuration import Configuration, newer_than_known
from pytest_llmdbench.capacity.explore import Exploration
from pytest_llmdbench.capacity.lengths import Spread
from pytest_llmdbench.capacity.nodes import ASSUMED, placed
from pytest_llmdbench.capacity.preflight import Finding
from pytest_llmdbench.capacity.ranking import by_cost, pareto
from pytest_llmdbench.capacity.speed import Speed
from pytest_llmdbench.capacity.split import TOLD
from pytest_llmdbench.capacity.started import Started
from pytest_llmdbench.capacity.validation import Validation
from pytest_llmdbench.errors import counted


def validation_lines(found: Validation) -> Iterator[str]:
    """Verdict, memory of one GPU, and ways out."""
    config, room = found.config, found.memory
    yield f"{config.model.name} on {config.gpus} x {config.gpu.name}, vLLM {config.version}: {found.verdict}"
    yield f"  {found.why}"
    yield ""
    yield f"  one GPU, GiB                 {room.total:8.2f}"
    yield f"  vLLM takes ({config.utilization:.0%})             {room.requested:8.2f}"
    parts = (
        ("weights", room.weights),
        ("activation, at the peak", room.activation),
        ("driver and NCCL", room.non_torch),
        ("CUDA graphs", room.cuda_graphs),
        ("KV cache, the rest", room.kv),
    )
    for name, value in parts:
        yield f"    {name:26} {value:8.2f}"
    if room.kv > 0:
        yield f"  KV cache, tokens             {room.tokens:8,d}"
        yield f"  requests of {config.length:,} tokens: {room.concurrency:.2f}"
    yield from (f"  {line}" for line in _cache(config))
    yield f"  batch: {config.sequences} sequences, {config.tokens} tokens a step"
    for note in found.notes:
        yield f"  note: {note}"
    if found.fixes:
        yield ""
        yield "  one of these mends it:"
        width = max(len(str(fix)) for fix in found.fixes)
        for fix in found.fixes:
            yield f"    {fix!s:{width}}   {fix.why}"


def speed_lines(found: Speed, room: int) -> Iterator[str]:
    """Latencies and throughput of one replica, with their ranges, and how many requests have a place at once."""
    low, high = found.ttft_range
    yield f"  TTFT        {found.ttft * 1e3:9.1f} ms   ({low * 1e3:.1f} to {high * 1e3:.1f})"
    low, high = found.tpot_range
    yield f"  TPOT        {found.tpot * 1e3:9.2f} ms   ({low * 1e3:.2f} to {high * 1e3:.2f})"
    yield f"  E2E         {found.e2e:9.2f} s"
    low, high = found.throughput_range
    yield f"  throughput  {found.output_tokens_per_second:9.1f} output tokens/s   ({low:.0f} to {high:.0f})"
    yield f"              {found.requests_per_second:9.3f} requests/s, {found.concurrency:.3g} in flight"
    yield f"  room        {room:9,d} requests of this load at once"


def exploration_lines(found: Exploration, top: int) -> Iterator[str]:
    """The table of the best, the Pareto front, and what was left out."""
    asked = found.asked
    load = f"prompts of {_lengths(asked.load.prompt, asked.load.prompt_tokens)} and answers of "
    load += f"{_lengths(asked.load.output, asked.load.output_tokens)} tokens"
    able = f"{len(found.best) - found.splits} of {counted(found.engines, 'engine')} can do what is asked for"
    able += f", and {counted(found.splits, 'split')} into prefill and decode" if found.splits else ""
    yield f"{asked.model.name}, {load}: {able}"
    if found.best:
        yield ""
        yield from _best(found, found.best[:top])
    elif found.missing:
        near = min(found.missing, key=lambda one: (len(one.missed), one.speed.e2e))
        yield f"nothing meets the SLO; the nearest is {near.label} with {near.concurrency} at once:"
        yield f"  TTFT {near.speed.ttft * 1e3:.0f} ms, TPOT {near.speed.tpot * 1e3:.1f} ms; it misses {near.missed[0]}"
    if newer := newer_than_known(asked.version):
        yield f"note: {newer}"
    for text in found.unknown:
        yield f"not estimated, so not asked for: {text}"
    reasons: dict[str, list[str]] = {}
    for gpu, why in found.refused.items():
        reasons.setdefault(why, []).append(gpu)
    for why, gpus in reasons.items():
        yield f"not on {', '.join(gpus)}: {why}"


def _best(found: Exploration, shown: Sequence[Candidate]) -> Iterator[str]:
    """The table, and what its lines need to be understood."""
    front = {id(one) for one in pareto(found.meeting, by_cost) if one.cost}
    yield from _table(shown, front)
    if any(id(one) in front for one in shown):
        yield "  * no other is both faster (TPOT) and cheaper"
    if found.asked.rate is not None:
        yield f"  each replica is given at most {HEADROOM:.0%} of what it carries when full; at once: at that rate"
    yield from _prices(shown)
    yield from (f"  {line}" for line in _cache(shown[0].config))
    # Each way to use several nodes once, by its first line.
    ways: dict[bool, Candidate] = {}
    for one in shown:
        if one.config.nodes > 1:
            ways.setdefault(one.config.data_parallel_size > 1, one)
    yield from (f"  {one.label}: {placed(one.config)}" for one in ways.values())
    if ways:
        yield f"  {ASSUMED}"
    if any(one.prefill for one in shown):
        yield from (f"  {line}" for line in TOLD)


def _lengths(spread: Spread, mean: float) -> str:
    """``1000`` or ``4096 (8192 at most)``."""
    longest = spread.longest(mean)
    return f"{mean:g} (up to {longest:.0f})" if longest > mean else f"{mean:g}"


def _cache(config: Configuration) -> Iterator[str]:
    """What nobody asked for by a flag."""
    if config.fp8_cache:
        yield f"KV cache in FP8, {config.fp8_cache.why}"


def _table(shown: Sequence[Candidate], front: set[int]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [
        (
            "replicas x one replica",
            "at once",
            "TTFT ms",
            "TPOT ms",
            "tok/s/GPU",
            "GPUs",
            "$/1M in",
            "$/1M out",
            "$ all/1M out",
            "a month",
        )
    ]
    for one in shown:
        money: tuple[str, ...] = ("-", "-", "-", "-")
        if one.cost:
            cost = one.cost
            tokens = (cost.per_million_input, cost.per_million_output, cost.whole_per_million_output)
            money = (*(f"{value:.3f}" for value in tokens), f"{cost.per_month:,.0f}")
        star = " *" if id(one) in front else ""
        speed = one.speed
        times = (f"{speed.ttft * 1e3:.0f}", f"{speed.tpot * 1e3:.1f}", f"{one.per_gpu:.0f}")
        rows.append((f"{one.deployment}{star}", str(one.concurrency), *times, str(one.gpus), *money))
    currency = next((one.cost.price.currency for one in shown if one.cost), "USD")
    if currency != "USD":
        # A price that was given has no currency.
        rows[0] = tuple(cell.replace("$", currency or "cost").strip() for cell in rows[0])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield (
            "  "
            + row[0].ljust(widths[0])
            + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        )


def _prices(shown: Sequence[Candidate]) -> Iterator[str]:
    said = {one.config.gpu.name: one.cost.price for one in shown if one.cost}
    for gpu, price in said.items():
        date = f", {price.date}" if price.date else ""
        money = f"{price.per_hour:g} {price.currency or ''}".rstrip()
        yield f"  {gpu}: {money} a GPU-hour ({price.source}{date})"
    if said:
        yield "  1M in and 1M out share the cost by the time that prompts and answers take; all/1M out is all of it on"
        yield "  answers alone, to compare engines by"


def comparison_lines(found: Sequence[Compared]) -> Iterator[str]:
    """Estimate beside log."""
    yield f"  {'':18}{'estimated':>14}{'log':>14}{'error':>9}"
    for one in found:
        estimated, measured, error = comparison_cells(one)
        yield f"  {one.name:18}{estimated:>14}{measured:>14}{error:>9}  {one.unit}"


def comparison_cells(one: Compared) -> tuple[str, str, str]:
    """Estimated, measured, and by which share of what was measured the estimate is off; without the unit."""
    digits = 2 if one.unit == "GiB" else 0 if one.unit == "tokens" else 1
    # Without a minus before what is rounded to 0.
    error = "" if one.error is None else f"{round(one.error, 3) + 0.0:+.1%}"
    return f"{one.estimated:,.{digits}f}", f"{one.measured:,.{digits}f}", error


def started_line(started: Started) -> str:
    """``decode: KV cache 52.14 GiB, estimated 52.40 (+0.5%); concurrency ...``: what matters of a start."""
    most = [one for one in started.compared if one.name in ("KV cache", "concurrency")]
    told = []
    for one in most or started.compared:
        estimated, measured, error = comparison_cells(one)
        unit = "" if one.unit == "requests" else f" {one.unit}"
        told.append(f"{one.name} {measured}{unit}, estimated {estimated}" + (f" ({error})" if error else ""))
    return f"{started.role}: {'; '.join(told)}"


def finding_lines(found: Sequence[Finding]) -> Iterator[str]:
    """The engines of a scenario."""
    for one in found:
        yield one.text
    if not found:
        yield "nothing to judge: the scenario deploys no vLLM on a GPU and a model that are known"
