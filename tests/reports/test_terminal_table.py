"""The table at the end of a run: one line a case, their objectives below, and nothing wider than 100 columns."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from _pytest._io import TerminalWriter

from pytest_llmdbench.declared.objective import parse_objective
from pytest_llmdbench.reports.case_lines import MOST, case_lines, detail_lines
from pytest_llmdbench.reports.compare import summary_lines
from pytest_llmdbench.reports.terminal import WIDTH, write_summary
from pytest_llmdbench.reports.units import shortened, show_energy, told_apart
from pytest_llmdbench.verdicts.judged import Judged

LONG = "h100-tensor_parallel_size4-inference-perf-0.7.0-shared_prefix_synthetic-rate5-groups32-system_prompt_len2048"


def judged(text: str, outcome: Any, value: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    return Judged(parse_objective(text, "scenarios/h100.yaml:4"), outcome, value, low, high).to_json()


def case(
    name: str, outcome: str = "PASS", objectives: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    latencies = {name: {"p50": 2.891, "p99": 4.65} for name in ("ttft", "tpot", "itl", "e2e")}
    numbers = {
        "requests": {"completed": 123456, "failed": 0},
        "latencies": latencies,
        "output_tokens_per_second": 98765.4,
    }
    verdict = {"outcome": outcome, "reason": "1 of 3 objectives missed", "notes": [], "objectives": objectives or []}
    return {"case": name, "result": numbers, "verdict": verdict, **more}


class Terminal:
    """As much of pytest's terminal reporter as the summary needs, writing into a text."""

    def __init__(self, *, markup: bool = False, width: int = 80) -> None:
        self.file = io.StringIO()
        self._tw = TerminalWriter(self.file)
        self._tw.hasmarkup, self._tw.fullwidth = markup, width

    def section(self, title: str, sep: str) -> None:
        self._tw.sep(sep, title)

    def write(self, text: str, **markup: bool) -> None:
        self._tw.write(text, **markup)

    def write_line(self, text: str, **markup: bool) -> None:
        self._tw.line(text, **markup)


def written(records: list[Mapping[str, Any]], **how: Any) -> list[str]:
    terminal: Any = Terminal(**how)
    stacks = ["stack h100: it listens, but a completion failed: 500 " + "Internal Server Error " * 9]
    write_summary(terminal, records, stacks, "llmdbench-results/20261127-101500-9f3a")
    text: str = terminal.file.getvalue()
    return text.splitlines()


def everything() -> list[Mapping[str, Any]]:
    several = [
        judged(
            "goodput(ttft <= 500ms, tpot <= 30ms, e2e <= 12.5s)@stage2 >= 95%", "INCONCLUSIVE", 0.9512, 0.94, 0.9631
        ),
        judged("normalized_tpot.p99.9@stage11 <= 1500us", "FAIL", 0.1, 0.09, 0.12),
        judged("e2e.p99 <= 8s", "NOT REPORTED", None, None, None),
        judged("ttft.p99 <= 500ms", "PASS", 0.48, 0.4712, None),
    ]
    failed = case(LONG, "INCONCLUSIVE", several)
    failed["result"]["requests"]["failed"] = 12345
    failed["result"]["server"] = {
        "prefix_cache_hit_rate": 0.6234, "preemptions": 31, "kv_cache_usage.max": 0.974, "waiting.max": 128,
        "restarts": 1,
    }  # fmt: skip
    failed["verdict"]["notes"] = ["stage 0, 1, 2, 3, 4 had not settled at its half; a longer one would tell more " * 2]
    error = {
        "case": LONG.replace("rate5", "rate50"),
        "error": "stack h100: ImagePullBackOff " * 9 + "\nmore",
        "verdict": None,
    }
    return [failed, error, case("short", "PASS", several[3:])]


def test_nothing_is_wider_than_100_columns() -> None:
    lines = written(everything())
    assert max(map(len, lines)) <= WIDTH == 100
    assert sum(len(line) > 80 for line in lines)


def test_every_case_has_one_line_with_its_verdict_at_the_end() -> None:
    header, *lines = [line.text for line in case_lines(everything(), 100)]
    assert header.split() == [
        "case", "requests", "failed", "TTFT", "p50/p99", "TPOT", "p50/p99", "E2E", "p50/p99", "tok/s", "verdict"
    ]  # fmt: skip
    assert [line.split()[-1] for line in lines] == ["INCONCLUSIVE", "ERROR", "PASS"]
    assert lines[0].split()[1:5] == ["123456", "12345", "2891/4650", "ms"]


def test_a_wider_terminal_shows_more_of_a_name() -> None:
    assert max(map(len, written(everything(), width=220))) > 120
    assert LONG in case_lines(everything(), 250)[1].text


def test_columns_that_no_case_has_anything_for_are_left_out() -> None:
    scored = {"case": "sanity", "result": {"requests": {"completed": 8, "failed": 0}, "scores": {"sanity.exact": 0.5}}}
    header, line = [one.text for one in case_lines([scored], 100)]
    assert (header.split(), line.split()) == (["case", "requests", "verdict"], ["sanity", "8", "-"])
    assert [one.text.strip() for one in detail_lines([scored], 100)] == ["sanity", "scores: sanity.exact 0.5"]


def test_each_objective_has_verdict_value_interval_bound_and_margin() -> None:
    lines = [line.text for line in detail_lines(everything(), 100)]
    assert lines[0].split() == ["verdict", "objective", "value", "interval", "bound", "margin"]
    missed = next(line for line in lines if "MISSED" in line)
    assert [cell.strip() for cell in missed.split("  ") if cell] == [
        "MISSED", "normalized_tpot.p99.9@stage11", "100000 us", "90000 .. 120000 us", "<= 1500 us", "x66.7"
    ]  # fmt: skip
    passed = next(line for line in lines if line.split()[0] == "ok")
    assert " ".join(passed.split()) == "ok ttft.p99 480 ms 471.2 ms .. ? <= 500 ms -4.0%"


def test_a_case_that_did_not_pass_says_why_under_its_whole_name() -> None:
    lines = [line.text for line in detail_lines(everything(), 100)]
    assert "  INCONCLUSIVE: 1 of 3 objectives missed" in lines
    assert any(line.startswith("  ERROR: stack h100: ImagePullBackOff") for line in lines)
    assert any(
        line.startswith("h100-tensor_parallel_size4") and line.endswith("system_prompt_len2048") for line in lines
    )


def test_what_the_servers_said_is_one_line_where_it_is_known() -> None:
    lines = [line.text.strip() for line in detail_lines(everything(), 100)]
    said = "server: 62% prefix cache hits, preemptions 31, KV cache up to 97%, up to 128 waiting, restarts 1"
    assert lines.count(said) == 1


def test_cost_is_told_with_the_price_it_is_made_from() -> None:
    economy = {"gpus": 8.0, "price_per_hour": 2.95, "cost": 0.0393, "cost_per_1m_output_tokens": 0.41}
    record = case("one", price={"per_hour": 2.95, "currency": "USD", "date": "2026-05-20", "source": "somewhere"})
    record["result"]["economy"] = {**economy, "energy": 41_200.0, "energy_per_1m_output_tokens": 3.9e6}
    (line,) = [one.text.strip() for one in detail_lines([record], 300) if "cost" in one.text]
    assert line == (
        "cost: 0.0393 USD, 0.41 USD per 1M output tokens (8 GPUs at 2.95 USD an hour, 2026-05-20), "
        "energy: 41.2 kJ, 1.08 kWh per 1M output tokens"
    )


def test_of_very_many_objectives_those_of_cases_that_passed_are_left_out() -> None:
    one = judged("ttft.p99 <= 500ms", "PASS", 0.4, 0.3, 0.45)
    bad = judged("ttft.p99 <= 500ms", "FAIL", 0.6, 0.55, 0.65)
    records = [*(case(f"case{number}", "PASS", [one]) for number in range(MOST)), case("the-bad-one", "FAIL", [bad])]
    lines = [line.text for line in detail_lines(records, 100)]
    assert lines[0] == f"objectives of {MOST} cases that passed: see verdict.json of each"
    assert len(lines) == 5
    assert lines[2] == "the-bad-one"


def test_programs_that_sent_the_same_load_stand_next_to_each_other() -> None:
    def one(harness: str, treatment: str) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "scenario": "h100",
            "setup_treatment": None,
            "workload": "chat",
            "treatment": treatment,
        }
        return case(f"{harness}-{treatment}", **facts, harness=harness)

    records = [one(harness, rate) for harness in ("aiperf", "guidellm") for rate in ("rate1", "rate2")]
    names = [line.text.split()[0] for line in case_lines(records, 100)[1:]]
    assert names == ["aiperf-rate1", "guidellm-rate1", "aiperf-rate2", "guidellm-rate2"]


@pytest.mark.parametrize("markup", [True, False])
def test_there_are_colours_on_a_terminal_only(markup: bool) -> None:
    lines = written(everything(), markup=markup)
    assert any("\x1b[31m" in line for line in lines) is markup
    assert any("\x1b" in line for line in lines) is markup


def test_long_names_are_cut_in_the_middle() -> None:
    assert shortened("local-guidellm-chatbot", 30) == "local-guidellm-chatbot"
    assert shortened("local-guidellm-chatbot_synthetic-rate5", 20) == "local-gui...ic-rate5"


@pytest.mark.parametrize(
    "names",
    [
        ["abcdefghijklmnop-one-qrstuvwxyz0123456789", "abcdefghijklmnop-two-qrstuvwxyz0123456789"],
        [f"abcdefghijklmnop-{number:03}-qrstuvwxyz-{number % 3}-0123456789" for number in range(200)],
        ["same" * 9, "same" * 9],
    ],
)
def test_names_that_are_cut_are_still_told_apart(names: list[str]) -> None:
    short = told_apart(names, 20)
    assert len(set(short)) == len(names)
    assert max(map(len, short)) <= 20


def test_the_cases_of_a_sweep_show_the_levels_that_they_differ_in() -> None:
    levels = [(places, rate) for places in (16, 64) for rate in (2, 8)]
    names = [f"local-max_num_seqs{places}-inference-perf-chatbot_synthetic-rate{rate}" for places, rate in levels]
    assert told_apart(names, 25) == [f"...max_num_seqs{places}...rate{rate}" for places, rate in levels]


def test_load_programs_whose_names_have_a_dash_are_told_from_others() -> None:
    names = [f"local-{program}-chatbot_synthetic-rate5" for program in ("inference-perf", "guidellm")]
    assert told_apart(names, 20) == ["local-inf...ic-rate5", "local-gui...ic-rate5"]
    assert told_apart(names, 13) == ["infer...-perf", "guidellm"]


def test_names_that_differ_too_late_to_be_shown_are_numbered_and_cut_once() -> None:
    names = [f"abcdefghijklmnopqrstuvwxyz_{letter}_abcdefghijklmnopqrstuvwxyz" for letter in "abc"]
    assert told_apart(names, 16) == ["1:abcdef...vwxyz", "2:abcdef...vwxyz", "3:abcdef...vwxyz"]


def test_energy_is_told_in_the_unit_that_people_read() -> None:
    assert [show_energy(joules) for joules in (820.0, 41_230.0, 4.7e6)] == ["820 J", "41.2 kJ", "1.31 kWh"]


def test_what_recorded_runs_of_one_case_are_against_a_baseline_is_said_once() -> None:
    said = {"outcome": "REGRESSION", "reason": "ttft.p99 +16.1%", "notes": ["not as in the baseline: load"]}
    records = [{"case": "chat", "regression": said} for _ in range(3)]
    assert list(summary_lines(records)) == [
        "REGRESSION  chat: ttft.p99 +16.1%",
        "  note: not as in the baseline: load",
    ]
    assert len(list(summary_lines([*records, {"case": "code", "regression": said}]))) == 4
