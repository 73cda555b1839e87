"""What reports in plain text say of a case, from its record. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytest_llmdbench.errors import counted
from pytest_llmdbench.reports.units import show_energy, show_margin

#: What is said of objectives, by their outcome.
WORDS: Final = {"PASS": "ok", "FAIL": "MISSED", "INCONCLUSIVE": "UNPROVEN", "NOT REPORTED": "NOT REPORTED"}
#: The heads of :func:`objective_row`.
OBJECTIVES: Final = ("verdict", "objective", "value", "interval", "bound", "margin")


def objective_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    """How an objective was judged, as people read it: word, objective, value, interval, bound and margin."""
    subject, whole = str(one.get("subject") or ""), str(one.get("objective") or "")
    return (
        WORDS.get(str(one.get("outcome")), str(one.get("outcome"))),
        subject or whole,
        str(one.get("shown") or "-"),
        _interval(str(one.get("interval") or "")),
        whole.removeprefix(subject).strip() if subject else "",
        show_margin(one.get("margin")),
    )


def _interval(text: str) -> str:
    """``480 .. 530 ms`` for ``480 ms .. 530 ms``."""
    low, dots, high = text.partition(" .. ")
    unit = high.rpartition(" ")[2]
    return f"{low.removesuffix(f' {unit}')}{dots}{high}" if dots and " " in high else text


def why_none(record: Mapping[str, Any]) -> str:
    """Why a case got to no verdict; empty where it got to one, or where there was none to get to."""
    return str(record.get("error") or record.get("interrupted") or "")


def remarks(record: Mapping[str, Any]) -> Iterator[str]:
    """What is to be said of a case besides its objectives, each in one line: why it did not pass comes first."""
    verdict, numbers = record.get("verdict") or {}, record.get("result") or {}
    if why := why_none(record):
        word = "ERROR" if record.get("error") else "INTERRUPTED"
        yield f"{word}: {(why.strip().splitlines() or [''])[0]}"
    elif verdict and verdict.get("outcome") != "PASS":
        yield f"{verdict.get('outcome')}: {verdict.get('reason')}"
    elif record.get("max_rate"):
        yield str(verdict.get("reason"))
    for note in verdict.get("notes") or ():
        yield f"note: {note}"
    for kind in ("scores", "startup"):
        if numbers.get(kind):
            values = ", ".join(f"{name} {value:.4g}" for name, value in numbers[kind].items())
            yield f"{kind}: {values}"
    for text in (server_text(numbers.get("server") or {}), economy_text(record)):
        if text:
            yield text


def server_text(totals: Mapping[str, float]) -> str:
    """``server: 62% prefix cache hits, preemptions 3, KV cache up to 97%, up to 12 waiting``; empty if unknown."""
    told = [
        text.format(totals[name])
        for name, text in (
            ("prefix_cache_hit_rate", "{:.0%} prefix cache hits"),
            ("preemptions", "preemptions {:.0f}"),
            ("kv_cache_usage.max", "KV cache up to {:.0%}"),
            ("waiting.max", "up to {:.0f} waiting"),
            ("restarts", "restarts {:.0f}"),
        )
        if name in totals
    ]
    return f"server: {', '.join(told)}" if told else ""


def economy_text(record: Mapping[str, Any]) -> str:
    """What the load cost, with whose price that is, and its energy; empty where neither is known."""
    economy = (record.get("result") or {}).get("economy") or {}
    price = record.get("price") or {}
    currency = f" {price['currency']}" if price.get("currency") else ""
    parts = []
    if "cost" in economy:
        dated = f", {price['date']}" if price.get("date") else ""
        parts.append(f"cost: {economy['cost']:.4g}{currency}")
        if "cost_per_1m_output_tokens" in economy:
            parts.append(f"{economy['cost_per_1m_output_tokens']:.4g}{currency} per 1M output tokens")
        gpus = counted(round(economy.get("gpus", 0)), "GPU")
        parts[-1] += f" ({gpus} at {economy.get('price_per_hour', 0):g}{currency} an hour{dated})"
    if "energy" in economy:
        parts.append(f"energy: {show_energy(economy['energy'])}")
        if "energy_per_1m_output_tokens" in economy:
            parts.append(f"{show_energy(economy['energy_per_1m_output_tokens'])} per 1M output tokens")
    return ", ".join(parts)
