"""The explored space as one page that needs no network: memory, throughput and cost against latency, and the table."""

from __future__ import annotations

import html
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final, TypeAlias

from pytest_llmdbench.capacity.candidate import Candidate, engine_words
from pytest_llmdbench.capacity.estimators import stated
from pytest_llmdbench.capacity.explore import Exploration
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.ranking import by_cost, pareto, tpot_of, ttft_of
from pytest_llmdbench.capacity.texts import exploration_lines

#: Engines whose memory is drawn, and whose points have a colour of their own.
_SHOWN: Final = 20
#: Plotly begins again after so many colours; those that share one differ in their marks.
_COLOURS: Final = 10
_MARKS: Final = ("circle", "diamond")
_PARTS: Final = (
    ("weights", "weights"),
    ("activation", "activation"),
    ("non_torch", "driver and NCCL"),
    ("cuda_graphs", "CUDA graphs"),
    ("kv", "KV cache"),
)
#: A number of a candidate: what a chart is of, or over.
Value: TypeAlias = Callable[[Candidate], float]
#: What is shown beside each other, by the words of its axis.
_LATENCIES: Final[tuple[tuple[str, Value], ...]] = (("TPOT", tpot_of), ("TTFT", ttft_of))
_STYLE: Final = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:1.5em auto;max-width:1200px;padding:0 1em;color:#222;"
    "background:#fff}pre{overflow-x:auto;font-size:12px}.row{display:flex;flex-wrap:wrap}"
    ".chart{height:460px;flex:1 1 480px;min-width:0}h1{font-size:1.4em}"
    "h2{font-size:1.1em;margin-top:2em}"
)


def page(found: Exploration) -> str:
    """The page, HTML."""
    charts = [("Memory of one GPU", [_memory_chart(found.best[:_SHOWN])])]
    values: tuple[tuple[str, Value, str, int], ...] = (
        ("Throughput", lambda one: one.per_gpu, "output tokens/s of one GPU", -1),
        ("Cost", by_cost, f"{_currency(found)} for a million output tokens, prompts included", 1),
    )
    for name, value, title, sign in values:
        beside = [_scatter(found, fast, words, value, title, sign) for words, fast in _LATENCIES]
        charts.append((f"{name} against latency", beside))
    title = html.escape(f"{found.asked.model.name}: what fits, how fast, and at what cost")
    table = html.escape("\n".join(exploration_lines(found, len(found.best))))
    places = itertools.count()
    bodies = "".join(
        f'<h2>{name}</h2><div class="row">'
        + "".join(f'<div class="chart" id="chart{next(places)}"></div>' for _ in beside)
        + "</div>"
        for name, beside in charts
    )
    drawn = [chart for _, beside in charts for chart in beside]
    data = json.dumps(drawn, allow_nan=False).replace("<", "\\u003c")
    draw = (
        f"const charts={data};charts.forEach((chart,at)=>Plotly.newPlot('chart'+at,chart.data,chart.layout,"
        "{responsive:true,displaylogo:false}));"
    )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>"
        f"<body><h1>{title}</h1>{''.join(_errors(found))}"
        f"{bodies}<h2>All engines</h2><pre>{table}</pre>"
        f"<script>{_library()}</script><script>{draw}</script></body></html>\n"
    )


def _errors(found: Exploration) -> Iterator[str]:
    """How far the estimates may be wrong, and what made them."""
    for text in stated(one.speed for one in (*found.meeting, *found.missing)):
        yield f"<p>Estimated by {html.escape(text)}.</p>"


def _library() -> str:
    """plotly.js as its Python package carries it."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _memory_chart(best: Sequence[Candidate]) -> Mapping[str, Any]:
    engines = {engine_words(config): config for one in best for config in one.engines}
    rooms, names = [memory(config) for config in engines.values()], [html.escape(name) for name in engines]
    bars = [
        {"type": "bar", "name": text, "x": names, "y": [round(getattr(room, part), 2) for room in rooms]}
        for part, text in _PARTS
    ]
    layout = {"barmode": "stack", "yaxis": {"title": {"text": "GiB"}}, "margin": {"t": 40, "b": 140}}
    return {"data": bars, "layout": layout}


def _scatter(found: Exploration, fast: Value, words: str, value: Value, title: str, sign: int) -> Mapping[str, Any]:
    """Points over a latency: each engine a line, what misses the SLO grey, the front. ``sign`` is 1 where less is good.

    The legend stands at the chart of the last latency alone, for all beside it.
    """
    traces = [
        _trace(
            "misses the SLO", found.missing, fast, value, {"mode": "markers", "marker": {"color": "#bbb", "size": 5}}
        )
    ]
    for at, engine in enumerate(found.best[:_SHOWN]):
        points = sorted((one for one in found.meeting if one.label == engine.label), key=lambda one: one.concurrency)
        marker = {"symbol": _MARKS[at // _COLOURS]}
        traces.append(_trace(engine.label, points, fast, value, {"mode": "lines+markers", "marker": marker}))
    shown = {one.label for one in found.best[:_SHOWN]}
    rest = [one for one in found.meeting if one.label not in shown]
    traces.append(_trace("others", rest, fast, value, {"mode": "markers", "marker": {"color": "#7a9", "size": 5}}))
    front = [one for one in pareto(found.meeting, lambda one: sign * value(one), fast) if math.isfinite(value(one))]
    line = {"mode": "lines", "line": {"color": "#000", "dash": "dot"}}
    traces.append(_trace("Pareto front", front, fast, value, line))
    layout = {
        "xaxis": {"title": {"text": f"{words}, ms"}, "type": "log"},
        "yaxis": {"title": {"text": title}, "type": "log"},
        "margin": {"t": 40},
        "hovermode": "closest",
        "showlegend": words == _LATENCIES[-1][0],
    }
    return {"data": [trace for trace in traces if trace["x"]], "layout": layout}


def _trace(name: str, points: Sequence[Candidate], fast: Value, value: Value, how: Mapping[str, Any]) -> dict[str, Any]:
    kept = [one for one in points if math.isfinite(value(one)) and fast(one) > 0]
    return {
        "type": "scatter",
        # The legend takes its width from the chart beside it: a split has a line for each of its engines.
        "name": html.escape(name).replace(" prefill, ", " prefill,<br>"),
        "x": [round(fast(one) * 1e3, 3) for one in kept],
        "y": [round(value(one), 4) for one in kept],
        "text": [html.escape(f"{one.deployment}, {one.concurrency} at once") for one in kept],
        **how,
    }


def _currency(found: Exploration) -> str:
    said = [one.cost.price.currency for one in found.meeting if one.cost and one.cost.price.currency]
    return html.escape(said[0]) if said else "cost"
