"""The reference pages of the documentation, made from the code: ``python -m pytest_llmdbench.reference FOLDER``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_type_hints

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pytest_llmdbench.declared.metrics import METRICS, UNITS, Form
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.declared.tokens import DATASET, DATASET_OPTION, FILLED, TOKENS
from pytest_llmdbench.declared.workload import Header
from pytest_llmdbench.options import OPTIONS


def pages() -> dict[str, str]:
    """File name -> text of every reference page."""
    return {
        "options.md": _options(),
        "scenario.md": _model(Scenario, "Scenario", "The keys of a scenario file, with their defaults."),
        "workload.md": _model(
            Header, "Workload header", "The keys under `llmdbench:` in a workload file; all else is the harness's."
        )
        + _tokens(),
        "metrics.md": _metrics(),
    }


def _options() -> str:
    rows = [
        (
            f"`{option.flag}{' ' + option.metavar if option.metavar else ''}`",
            option.help.replace("%%", "%"),
            f"`{option.dest}`",
            f"`{option.variable}`",
        )
        for option in OPTIONS
    ]
    text = "The command line wins over the environment, the environment over the ini file, and all over the scenario."
    return f"# Options\n\n{text}\n\n" + _table(("option", "what it does", "ini key", "variable"), rows)


def _model(model: type[BaseModel], title: str, text: str) -> str:
    rows = [(f"`{key}`", meaning, f"`{default}`" if default else "") for key, meaning, default in _keys(model)]
    return f"# {title}\n\n{text}\n\n" + _table(("key", "meaning", "default"), rows)


def _keys(model: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Dotted key, meaning and default of every leaf of a model, through nested models and dataclasses."""
    if issubclass(model, BaseModel):
        fields = [
            (name, info.annotation, info.description or "", info.default) for name, info in model.model_fields.items()
        ]
    else:
        hints = get_type_hints(model)
        fields = [
            (one.name, hints[one.name], one.metadata.get("help", ""), one.default) for one in dataclasses.fields(model)
        ]
    for name, annotation, meaning, default in fields:
        if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)):
            yield from _keys(annotation, f"{prefix}{name}.")
        else:
            unset = (
                default is None or default is PydanticUndefined or default is dataclasses.MISSING or default in ("", ())
            )
            yield f"{prefix}{name}", meaning, "" if unset else str(default)


def _tokens() -> str:
    filled = {**dict.fromkeys(FILLED, "yes"), **dict.fromkeys(DATASET, f"with `{DATASET_OPTION}`")}
    rows = [(f"`REPLACE_ENV_{name}`", meaning, filled.get(name, "no")) for name, meaning in TOKENS.items()]
    return "\n# Tokens in llm-d-benchmark's profiles\n\n" + _table(("token", "stands for", "filled in"), rows)


def _metrics() -> str:
    rows = [
        (
            f"`{metric.name}`",
            metric.meaning,
            ", ".join(f"`{unit}`" for unit in UNITS[metric.kind] if unit) or "none",
            {True: "lower", False: "higher", None: "either"}[metric.lower_is_better],
            _FORMS[metric.form],
        )
        for metric in METRICS.values()
    ]
    return "# Metrics\n\nWhat an objective can be about: `METRIC.STATISTIC[@stageN] <= BOUND`.\n\n" + _table(
        ("metric", "meaning", "units", "better is", "written with"), rows
    )


#: What stands behind a metric's name.
_FORMS: Final[Mapping[Form, str]] = {
    "statistic": "`.mean`, `.min`, `.max`, `.median`, `.p50` ... `.p99.9`",
    "bounds": "`(ttft <= 500ms, tpot <= 30ms)`",
    "named": "`(NAME)`",
    "plain": "",
}


def _table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
