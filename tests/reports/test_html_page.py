"""The page says at its top what happened and why, holds what is needed to look closer, and stays small."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.reports.html_case import details
from pytest_llmdbench.reports.html_page import page_parts
from pytest_llmdbench.results.store import read_result, write_result
from pytest_llmdbench.results.table import TABLE
from tests.reports.recorded_cases import case, metrics, verdict

HOSTILE = "<img src=x onerror=alert(1)>\"'</script><!--"


def data(tail: str) -> dict[str, Any]:
    """What the page's script unpacks."""
    found = re.search(r'id="llmd-data">([^<]*)<', tail)
    assert found
    read: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return read


def test_the_top_counts_verdicts_and_tells_why_a_case_did_not_pass(tmp_path: Path) -> None:
    good, bad = case(tmp_path / "a", "quick"), case(tmp_path / "b", "slow")
    bad["verdict"] = verdict(0.75)
    top, _ = page_parts([good, bad], tmp_path / "report.html")
    assert "<b>1</b> PASS" in top
    assert "<b>1</b> FAIL" in top
    assert "ttft.p99 &lt;= 500 ms: 750.0 ms (+50.0%)" in top
    assert "1 of 1 objective missed" in top
    assert "llmdbench/simulated" in top


def test_an_error_is_told_though_the_case_left_no_files(tmp_path: Path) -> None:
    top, tail = page_parts([{"case": "a", "error": "stack a: no pods\nmore"}], tmp_path / "report.html")
    assert "<b>1</b> ERROR" in top
    assert "stack a: no pods" in top
    assert data(tail)["cases"] == {}


def test_the_page_of_no_case_says_so_and_carries_no_library(tmp_path: Path) -> None:
    top, tail = page_parts([], tmp_path / "report.html")
    assert "No benchmark has run." in top
    assert "llmd-library" not in tail.split("<script>")[0]


def test_a_case_has_its_charts_its_files_and_what_it_takes_to_run_it_again(tmp_path: Path) -> None:
    record = case(tmp_path / "run/a", "quick", server=metrics())
    _, tail = page_parts([record], tmp_path / "report.html")
    read = data(tail)
    [one] = read["cases"].values()
    assert set(one["charts"]) == {"curves", "load", "requests", "server"}
    assert "pytest -k &#39;a b&#39;" in one["html"]
    assert 'href="run/a/result.json"' in one["html"]
    titles = {title: read["texts"][key] for title, key in one["texts"]}
    assert titles["merged scenario"] == (tmp_path / "run/a/scenario.yaml").read_text()
    assert titles["workload as it was sent"] == (tmp_path / "run/a/workload.yaml").read_text()


def test_the_runs_of_a_repeated_load_stand_below_its_stages(tmp_path: Path) -> None:
    record = case(tmp_path / "a", "a", rates=(2.0, 8.0))
    result = read_result(tmp_path / "a")
    write_result(tmp_path / "a", replace(result, runs=(result, result)))
    _, tail = page_parts([record], tmp_path / "report.html")
    [one] = data(tail)["cases"].values()
    names = re.findall(r"<tr><td>([^<]*)</td>", one["html"])
    assert names == ["whole", "stage 0", "stage 1", "run 0", "run 1"]


def test_a_text_that_cases_share_is_in_the_page_once(tmp_path: Path) -> None:
    records = [case(tmp_path / name, name) for name in ("a", "b", "c")]
    _, tail = page_parts(records, tmp_path / "report.html")
    assert len(data(tail)["texts"]) == 2


def test_scores_and_cost_stand_in_the_row_of_their_case(tmp_path: Path) -> None:
    economy = {"cost": 0.25, "gpus": 2, "price_per_hour": 3.0}
    record = {"case": "a", "result": {"scores": {"hellaswag.acc": 0.61234}, "economy": economy}}
    content = details(record, tmp_path / "report.html")["content"]
    assert "<b>hellaswag.acc</b> 0.6123" in content
    assert "cost: 0.25 (2 GPUs at 3 an hour)" in content


@pytest.mark.parametrize("broken", ["cut short", '{"form": 2, "whole": 3}', "[]"])
def test_a_case_whose_result_cannot_be_read_is_told_so_and_the_others_have_charts(tmp_path: Path, broken: str) -> None:
    records = [case(tmp_path / name, name) for name in ("a", "b")]
    (tmp_path / "a/result.json").write_text(broken)
    _, tail = page_parts(records, tmp_path / "report.html")
    first, second = data(tail)["cases"].values()
    assert "There are no charts" in first["html"]
    assert not first["charts"]
    assert second["charts"]


@pytest.mark.parametrize("damage", ["empty", "cut", "gone"])
def test_single_requests_that_cannot_be_read_are_not_the_end_of_the_page(tmp_path: Path, damage: str) -> None:
    record = case(tmp_path / "a", "a")
    table = tmp_path / "a" / TABLE
    match damage:
        case "empty":
            table.write_bytes(b"")
        case "cut":
            table.write_bytes(table.read_bytes()[:300])
        case "gone":
            table.unlink()
    _, tail = page_parts([record], tmp_path / "report.html")
    [one] = data(tail)["cases"].values()
    assert "There are no charts" in one["html"] if damage != "gone" else one["charts"]["curves"]


def test_metrics_of_another_form_leave_out_the_charts_with_a_reason(tmp_path: Path) -> None:
    odd = {"metrics": {"components": [{"label": "a", "series": {"waiting": {"points": [["soon", None]]}}}]}}
    record = case(tmp_path / "a", "a", server=odd)
    _, tail = page_parts([record], tmp_path / "report.html")
    [one] = data(tail)["cases"].values()
    assert "cannot be drawn" in one["html"]


def test_a_case_that_says_nothing_of_use_is_on_the_page_all_the_same(tmp_path: Path) -> None:
    records = [case(tmp_path / name, name) for name in ("a", "b")]
    odd = {"factors": [1], "provenance": {"command_line": 3, "versions": "x", "machine": None}, "stack_facts": [None]}
    for record in records:
        (Path(record["folder"]) / "case.json").write_text(json.dumps(odd))
        (Path(record["folder"]) / "scenario.yaml").write_text("accelerator: 3\ndeploy: [")
        record |= {"factors": [1], "model": 7, "scenario": None}
    top, tail = page_parts(records, tmp_path / "report.html")
    assert "2 cases by verdict" in top
    assert all(one["charts"] for one in data(tail)["cases"].values())
    assert details(records[0], tmp_path / "report.html")["content"]


def test_names_from_files_are_text_wherever_they_stand(tmp_path: Path) -> None:
    facts: dict[str, Any] = {"model": HOSTILE, "workload": HOSTILE, "treatment": HOSTILE}
    records = [case(tmp_path / str(number), HOSTILE, **facts) for number in range(2)]
    for number, record in enumerate(records):
        record["factors"] = {HOSTILE: f"{HOSTILE}{number}"}
        record["verdict"]["reason"] = record["verdict"]["notes"] = HOSTILE
        record["verdict"]["objectives"][0] |= dict.fromkeys(("objective", "shown", "interval", "origin"), HOSTILE)
        record["verdict"]["objectives"][0]["outcome"] = HOSTILE
        record["verdict"]["outcome"] = HOSTILE
        record["error"] = HOSTILE
    (tmp_path / "0" / "a<b>&.log").write_text(HOSTILE)
    top, tail = page_parts(records, tmp_path / "report.html")
    unfolded = details(records[0], tmp_path / "report.html")["content"]
    kept = "".join(one["html"] for one in data(tail)["cases"].values())
    for part in (top, tail, unfolded, kept):
        assert "<img" not in part
        assert "onerror=alert(1)>" not in part
    assert "a%3Cb%3E%26.log" in kept


def test_a_page_of_two_hundred_cases_is_below_six_megabytes(tmp_path: Path) -> None:
    rates, servers = (20.0, 40.0, 60.0), metrics(4, 256)
    originals = [case(tmp_path / f"c{n}", f"c{n}", rates=rates, seconds=20, server=servers, seed=n) for n in range(8)]
    records = list(originals)
    for number in range(8, 200):
        # Alike cases are so far apart in the page that packing does not find them.
        original, folder = originals[number % 8], tmp_path / str(number)
        shutil.copytree(original["folder"], folder)
        (folder / "scenario.yaml").write_text((folder / "scenario.yaml").read_text() + f"# of case {number}\n" * 200)
        records.append({**original, "case": f"case-{number}", "folder": str(folder), "factors": {"rate": number}})
    top, tail = page_parts(records, tmp_path / "report.html")
    rows = sum(len(json.dumps(details(record, tmp_path / "report.html"))) for record in records)
    # Rows are within an attribute: each quote in them takes five characters.
    assert len(top) + len(tail) + 2 * rows < 6_000_000


def test_the_page_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    top, tail = page_parts([case(tmp_path / "a", "a")], tmp_path / "report.html")
    for part in (top, tail):
        assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", part)
        assert "@import" not in part
        assert "url(" not in part
