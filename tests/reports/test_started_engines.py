"""Each engine that started is told once, whoever wrote the folders it is read from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.reports.html_page import page_parts
from pytest_llmdbench.reports.started_engines import stack_starts, start_lines, start_tables, store_lines
from tests.reports.recorded_cases import case

ENGINE: dict[str, Any] = {
    "role": "decode", "model": "org/a-model", "gpu": "H100-SXM-80GB", "gpus": 4, "vllm": "0.26.0",
    "correction_gib": -0.5,
    "compared": [
        {"name": "weights", "unit": "GiB", "estimated": 16.9, "measured": 17.0},
        {"name": "KV cache", "unit": "GiB", "estimated": 54.0, "measured": 50.0},
        {"name": "KV cache tokens", "unit": "tokens", "estimated": 700_000.0, "measured": 708_992.0},
        {"name": "concurrency", "unit": "requests", "estimated": 86.5, "measured": 0.0},
    ],
}  # fmt: skip


def on_a_stack(folder: Path, stack: str, facts: Any) -> dict[str, Any]:
    """A recorded case whose stack has these facts."""
    record = case(folder, folder.name, stack=stack)
    kept = json.loads((folder / "case.json").read_text())
    (folder / "case.json").write_text(json.dumps({**kept, "stack_facts": facts}))
    return record


def test_a_standup_is_told_once_for_all_cases_on_it(tmp_path: Path) -> None:
    fact = {"capacity": [ENGINE, {**ENGINE, "role": "prefill"}]}
    places = ("run/a", "run/b", "another-run/a")
    starts = stack_starts([on_a_stack(tmp_path / place, "h100", fact) for place in places])
    assert [(one.stack, one.folder.parent.name) for one in starts] == [("h100", "run"), ("h100", "another-run")]
    assert list(start_lines(starts[:1])) == [
        f"stack h100, {role}: KV cache 50.00 GiB, estimated 54.00 (+8.0%); concurrency 0.0, estimated 86.5"
        for role in ("decode", "prefill")
    ]
    more = list(start_lines(starts[:1], verbose=True))
    assert len(more) == 2 * (2 + 1 + len(ENGINE["compared"]))
    assert more[1] == (
        "  org/a-model on 4 x H100-SXM-80GB, vLLM 0.26.0; estimated with the -0.50 GiB that an earlier start showed"
    )
    assert max(map(len, more[2:7])) < 80
    assert start_tables(starts)[0]["rows"][2] == ["KV cache tokens, tokens", "700,000", "708,992", "-1.3%"]


def test_names_from_elsewhere_are_escaped_in_the_page(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    names = {"name": hostile, "unit": hostile, "estimated": 1.0, "measured": 1.0}
    fact = {"capacity": [{**ENGINE, "role": hostile, "model": hostile, "vllm": hostile, "compared": [names]}]}
    top, _ = page_parts([on_a_stack(tmp_path / "run/a", hostile, fact)], tmp_path / "report.html")
    assert hostile not in top
    assert f"{hostile}, {hostile}".replace("<", "&lt;").replace(">", "&gt;") in top


@pytest.mark.parametrize(
    "facts", [None, [], 3, {}, {"capacity": None}, {"capacity": "x"}, {"capacity": [{**ENGINE, "compared": 1}]}]
)
def test_folders_that_tell_of_no_engine_have_no_line_and_no_table(tmp_path: Path, facts: Any) -> None:
    record = on_a_stack(tmp_path / "run/a", "h100", facts)
    assert stack_starts([record, {"case": "b"}, {"case": "c", "stack": "h100", "folder": None}]) == []
    assert "Memory of each engine" not in page_parts([record], tmp_path / "report.html")[0]


def test_a_folder_whose_scenario_cannot_be_read_says_so_and_is_no_correction(tmp_path: Path) -> None:
    starts = stack_starts([on_a_stack(tmp_path / "run/a", "h100", {"capacity": [ENGINE]})])
    assert list(store_lines(starts)) == []  # its scenario is that of a simulator
    kept = tmp_path / "run/a/scenario.yaml"
    for breaks in (lambda: kept.write_text("{"), kept.unlink):
        breaks()
        (line,) = store_lines(starts)
        assert line.startswith("nothing was stored of stack h100: ")
        assert "scenario.yaml" in line
