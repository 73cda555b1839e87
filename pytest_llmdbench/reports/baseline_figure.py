"""What the chart of a comparison with a baseline shows, as plain numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_llmdbench.reports.figures import short
from pytest_llmdbench.reports.html_second import ORDER, change_text, value_text
from pytest_llmdbench.verdicts.run_level import COMPARED


def baseline_figure(said: Any) -> dict[str, Any] | None:
    """How much worse each metric is than in the baseline, the worst first; None where nothing has a ratio.

    Takes what ``Regression.to_json`` gives. ``worse`` is a ratio, above 1 whichever way of the metric is for the worse;
    ``low`` and ``high`` are its interval, ``limit`` is the ratio that the margin allows. Metrics that decide are drawn,
    and others that got worse; of the rest ``others`` is the number.
    """
    metrics = list(said.get("metrics") or ()) if isinstance(said, Mapping) else []
    deciding = any(one.get("decides") for one in metrics)
    drawn = [one for one in metrics if one.get("decides") or not deciding or one.get("outcome") == "REGRESSION"]
    rows = [row for one in drawn if (row := _row(one))]
    if not rows:
        return None
    rows.sort(key=lambda row: (ORDER.index(row["word"]), -row["worse"]))
    return {"reason": str(said.get("reason") or ""), "rows": rows, "others": len(metrics) - len(rows)}


def _row(one: Mapping[str, Any]) -> dict[str, Any] | None:
    compared, ratio, word = COMPARED.get(str(one.get("metric"))), short(one.get("ratio")), str(one.get("outcome"))
    if compared is None or not ratio or word not in ORDER:
        return None
    ends = [short(one.get(name)) for name in ("low", "high")]
    known = sorted(end if compared.lower_is_better else 1 / end for end in ends if end)
    margin = short(one.get("margin"))
    return {
        "metric": compared.name,
        "text": f"{value_text(one, 'before')} → {value_text(one, 'after')} ({change_text(ratio)})",
        "word": word,
        "worse": ratio if compared.lower_is_better else short(1 / ratio),
        "low": short(known[0]) if len(known) == 2 else None,
        "high": short(known[1]) if len(known) == 2 else None,
        "limit": None if margin is None else short(1 + margin),
    }
