"""All recorded results in folders as one table: a row for each run of a case and each of its stages.

Times are seconds, lengths tokens, shares of 1; a column's name ends with ``_s`` where its values are seconds. What was
not reported is NA, never zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.benchmark_report.files import reports
from pytest_llmdbench.results.benchmark_report.observability import totals
from pytest_llmdbench.results.benchmark_report.own_block import NUMBERS
from pytest_llmdbench.results.benchmark_report.reading import Report, read
from pytest_llmdbench.results.benchmark_report.setting import setting
from pytest_llmdbench.results.benchmark_report.stack import components
from pytest_llmdbench.results.case_folder import CaseFolder, read_case, read_json
from pytest_llmdbench.results.columns import COUNTS, LATENCIES, LENGTHS, NAMED, TEXTS, table
from pytest_llmdbench.results.fields import LARGEST_COUNT, Part
from pytest_llmdbench.results.recorded import CASE
from pytest_llmdbench.results.result import PERCENTILES, Distribution, Result, Stage
from pytest_llmdbench.results.store import NO_RESULT, RESULT, RUN

if TYPE_CHECKING:
    import pandas as pd

#: What the row of the whole run has for its stage.
WHOLE: Final = "whole"
#: How llm-d-benchmark names the folder of a treatment's run: harness, treatment, seconds, six characters, pod.
_TREATMENT: Final = re.compile(r"-(.+)-\d{10}-\w{6}(?:_\d+)?")

Row = dict[str, Any]


def frame(folder: Path | str, *more: Path | str) -> pd.DataFrame:
    """The results in folders, with all below them: our own, and Benchmark Reports that llm-d-benchmark wrote.

    Our runs have a row for each stage and one for the whole run (``stage`` is ``whole``); a report has one of its
    stage. Factors of treatments are columns (``factor.NAME``), and so are scores (``score.NAME``), figures of an
    engine's start (``startup.NAME``), what the load cost (``economy.NAME``) and what the stack's servers counted over
    the run (``server.NAME``). A case that ended without a result has a row all the same, that says why.

    Raises:
        ResultsError: there is no result, or one cannot be read; names file and field.
    """
    folders = [Path(one).expanduser() for one in (folder, *more)]
    rows: list[Row] = []
    for one in folders:
        if not one.is_dir():
            raise ResultsError(f"{one}: is not a folder of results")
        rows += _rows(one)
    if not rows:
        shown = ", ".join(map(str, folders))
        raise ResultsError(f"no results in {shown}: neither a case's folder ({CASE}) nor a benchmark_report*.yaml")
    return table(rows)


def _rows(folder: Path) -> Iterator[Row]:
    """The rows of a folder and of all below it, in the order of their names."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ResultsError(f"{folder}: cannot be looked into: {error}") from error
    names = {entry.name for entry in entries}
    if CASE in names:
        # What else is in the folder of a case is made from it, or is the load program's own.
        yield from _case_rows(read_case(folder, workload=False))
        return
    if RUN in names:
        yield from _unrun(folder / RUN)
    counted = reports(names)
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            yield from _rows(entry)
        elif entry.name in counted:
            yield _report_row(entry, read(entry))


def _case_rows(case: CaseFolder) -> Iterator[Row]:
    facts = case.facts
    verdict = case.verdict
    about: Row = {name: facts.text(name) for name in TEXTS if name not in ("source", "folder", "stage", "notes")}
    about |= {
        "source": "pytest-llmdbench",
        "folder": str(case.path),
        **_accelerators(case),
        "verdict": verdict.text("outcome") if verdict else None,
        "verdict_reason": verdict.text("reason") if verdict else None,
        **_factors(facts),
    }
    if case.result is None:
        yield {**about, "stage": WHOLE, "notes": f"no result: {NO_RESULT}"}
        return
    about |= _result_cells(case.result)
    stages = {WHOLE: _with_load(case.result)} | {str(number): stage for number, stage in enumerate(case.result.stages)}
    for name, stage in stages.items():
        row = {**about, "stage": name, **_stage_cells(stage)}
        for count in COUNTS:
            if abs(row[count] or 0) > LARGEST_COUNT:
                raise ResultsError(f"{case.path / RESULT}: stage {name}: {count} is no count: {str(row[count])[:60]}")
        yield row


def _accelerators(case: CaseFolder) -> Row:
    """What the stack had, by its scenario, and how many: what it says is counted, else what it deploys."""
    if case.scenario is None:
        return {}
    stack = components(case.scenario, "")
    deployed = setting(Part(case.facts.file, {"scenario": {"stack": stack}}), "0.2")
    said = case.scenario.accelerator
    return {
        "accelerator": deployed["accelerator"] or (said.product if said.gpus else None),
        "accelerators": said.gpus or deployed["accelerators"],
    }


def _with_load(result: Result) -> Stage:
    """The whole run, with the load of its only stage where it has no more than one."""
    if len(result.stages) != 1:
        return result.whole
    (stage,) = result.stages
    known = {name: getattr(result.whole, name) for name in ("asked_rate", "achieved_rate", "concurrency")}
    return replace(
        result.whole, **{name: getattr(stage, name) if value is None else value for name, value in known.items()}
    )


def _unrun(path: Path) -> Iterator[Row]:
    """The cases of a session that did not get as far as a folder: their stack did not come up, for one."""
    run = read_json(path)
    for case in run.below("cases").data.values():
        facts = Part(str(path), case if isinstance(case, Mapping) else {})
        if facts.data and not facts.get("folder"):
            texts = {name: facts.text(name) for name in TEXTS if isinstance(facts.get(name), str)}
            error = facts.text("error") or "no result"
            yield {
                **texts, "source": "pytest-llmdbench", "folder": str(path.parent), "run": run.text("run"),
                "stage": WHOLE, "notes": error, **_factors(facts),
            }  # fmt: skip


def _report_row(path: Path, report: Report) -> Row:
    facts = report.facts
    about: Row = {name: facts.get(name) for name in (*TEXTS, "accelerators")}
    return {
        **about,
        **_factors(Part(str(path), facts)),
        **_result_cells(report.result),
        **_stage_cells(report.result.whole),
        "harness": facts["harness"],
        "harness_version": facts["harness_version"],
        "source": f"benchmark report {report.version}",
        "folder": str(path.parent),
        "case": facts.get("case") or path.parent.name,
        "treatment": facts.get("treatment") if report.own else _treatment(path.parent.name, facts["harness"]),
        "stage": str(report.stage),
        "notes": "; ".join(report.notes) or None,
    }


def _treatment(folder: str, harness: str | None) -> str | None:
    """The treatment that a folder of llm-d-benchmark is named after."""
    match = _TREATMENT.fullmatch(folder.removeprefix(harness)) if harness and folder.startswith(harness) else None
    return match[1] if match else None


def _factors(facts: Part) -> Row:
    return {f"factor.{name}": value for name, value in facts.below("factors").data.items()}


def _result_cells(result: Result) -> Row:
    return {
        "harness": result.harness,
        "harness_version": result.harness_version,
        "purpose": result.purpose,
        "started": result.started,
        "elapsed_s": result.elapsed_s,
        "exit_code": result.exit_code,
        **{f"score.{name}": float(value) for name, value in result.scores.items()},
        **{f"startup.{name}": float(value) for name, value in result.startup.items()},
        **{f"economy.{name}": float(value) for name, value in result.economy.items()},
        **{f"server.{name}": float(value) for name, value in totals(result.server).items()},
    }


def _stage_cells(stage: Stage) -> Row:
    requests = stage.requests
    cells: Row = {name: getattr(stage, name) for name in (*NUMBERS, "concurrency", "prompt_tokens", "output_tokens")}
    cells |= {
        "requests_offered": requests.offered,
        "requests_completed": requests.completed,
        "requests_failed": requests.failures,
        "requests_unfinished": requests.unfinished,
        "error_rate": requests.error_rate,
    }
    for name in LATENCIES:
        cells |= _distribution_cells(name, "_s", stage.latencies.get(name))
    for name in LENGTHS:
        cells |= _distribution_cells(f"{name}_length", "", stage.lengths.get(name))
    return cells | _distribution_cells("schedule_lag", "_s", stage.schedule_lag)


def _distribution_cells(name: str, unit: str, one: Distribution | None) -> Row:
    if one is None:
        return {}
    cells = {f"{name}_{key}{unit}": getattr(one, field) for key, field in NAMED.items()}
    return cells | {f"{name}_p{at:g}{unit}": one.percentiles.get(at) for at in PERCENTILES}
