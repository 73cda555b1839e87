"""Files that are no reports, or were spoilt: one sentence that names file and field, whatever is in them."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.benchmark_report import Report, read
from tests.results.recorded_runs import report_file
from tests.results.test_benchmark_report_read import MINIMAL

LATENCY = "results.request_performance.aggregate.latency"
REQUESTS = "results.request_performance.aggregate.requests"
LOAD = "scenario.load.standardized"


def changed(path: str, value: object, report: Any = MINIMAL) -> Any:
    data = deepcopy(report)
    *above, last = path.split(".")
    part = data
    for key in above:
        part = part[key]
    part[int(last) if isinstance(part, list) else last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("version", "0.3", "'version' should be one of 0.1, 0.2, 0.2.1, not '0.3'"),
        ("version", None, "'version' should be one of"),
        (
            f"{LATENCY}.time_to_first_token.units",
            "tokens/s",
            f"'{LATENCY}.time_to_first_token.units' should be one of s",
        ),
        (f"{LATENCY}.time_to_first_token.units", ["s"], "units' should be one of s, ms, not list"),
        (f"{LATENCY}.time_to_first_token.mean", None, "time_to_first_token.mean' should be a number, not 'None'"),
        (f"{LATENCY}.time_to_first_token.p99", "fast", "time_to_first_token.p99' should be a number, not 'fast'"),
        (f"{LATENCY}.time_to_first_token.p99", float("nan"), "should be a number, not 'nan'"),
        (f"{LATENCY}.time_to_first_token.p99", 10**400, "time_to_first_token.p99' should be a number"),
        (f"{LATENCY}.time_to_first_token", 3, "time_to_first_token' should be an object of fields, not '3'"),
        (f"{LATENCY}.time_per_output_token.units", "ms", "should be one of s/token, ms/token"),
        (
            f"{REQUESTS}.total",
            9,
            f"'{REQUESTS}.total' should be at least the 3 failures and 7 incomplete ones, not '9'",
        ),
        (f"{REQUESTS}.total", True, "total' should be a number, not 'True'"),
        (f"{REQUESTS}.failures", -1, "failures' should be a count"),
        (f"{REQUESTS}.failures", 0.5, "failures' should be a count"),
        (f"{REQUESTS}.failures", 1e300, "failures' should be a count"),
        (f"{LOAD}.concurrency", 0, "concurrency' should be a whole number of at least 1, or infinite"),
        (f"{LOAD}.concurrency", 1.5, "concurrency' should be a count"),
        (f"{LOAD}.rate_qps", 0, "rate_qps' should be above 0"),
        ("run.time", [], "'run.time' should be an object of fields, not list"),
        ("run.time.duration", "two minutes", "'run.time.duration' should be a duration as in PT12.5S"),
        ("run.time.duration", "PT", "'run.time.duration' should be a duration"),
        ("scenario.stack", {}, "'scenario.stack' should be a list"),
        ("scenario.stack.0", "vllm", "'scenario.stack.0' should be an object of fields, not 'vllm'"),
        ("results.observability.components", [4], "'results.observability.components.0' should be an object"),
        ("results.observability.drop_rate.units", "ms", "should be one of fraction, percent"),
        ("results.observability.llmdbench", {"purpose": "fun"}, "llmdbench.purpose' should be one of load, accuracy"),
        ("results.observability.llmdbench", {"stage": {"failed": {"500": "all"}}}, "failed.count' should be a number"),
        ("results.observability.llmdbench", {"stage": {"distributions": {"schedule_lag": 1}}}, "should be an object"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(path: str, value: object, sentence: str) -> None:
    with pytest.raises(ResultsError) as caught:
        read(changed(path, value))
    assert str(caught.value).startswith("the report: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("scenario.host", {"type": ["replica", "decode"], "accelerator": [{}, {}]}, "either all 'replica'"),
        ("scenario.host", {"type": ["decode"], "accelerator": [{}, {}]}, "differ in length"),
        ("scenario.host", {"type": "decode"}, "'scenario.host.type' should be a list"),
        ("metrics.time", {"duration": 3, "start": 1e300}, "'metrics.time.start' should be seconds since 1970"),
        ("metrics.resources", {"accelerator": [{"power": {"units": "kW", "mean": 1}}]}, "should be one of Watts"),
        ("metrics.throughput.total_tokens_per_sec", "many", "total_tokens_per_sec' should be a number"),
    ],
    ids=str,
)
def test_a_wrong_field_of_the_oldest_form_is_named(path: str, value: object, sentence: str) -> None:
    report = yaml.safe_load(report_file("guidellm/constant", "0.1").read_text(encoding="utf-8"))
    with pytest.raises(ResultsError, match=sentence):
        read(changed(path, value, report))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not an object of fields, or was cut short"),
        ("- 1\n- 2\n", "is not an object of fields"),
        ("version: [", "cannot be read, or was cut short"),
        ("version: '0.2'\nrun: {time: {start: 2026-13-45}}", "cannot be read, or was cut short"),
        ("version: !!python/object/apply:os.getcwd []", "cannot be read, or was cut short"),
        ("[" * 200_000, "nests deeper than 100 levels"),
        ("a: " * 5 + "\x00", "cannot be read, or was cut short"),
        ("3: 4\nnull: 5\n", "'version' should be one of"),
    ],
    ids=["empty", "list", "cut", "no-such-day", "code", "deep", "zero-byte", "odd-keys"],
)
def test_a_file_that_is_no_report_is_named(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "benchmark_report_v0.2,_x.yaml"
    file.write_text(text)
    with pytest.raises(ResultsError, match=sentence) as caught:
        read(file)
    assert str(caught.value).startswith(str(file))


def test_bytes_that_are_no_text_and_a_file_that_is_not_there_are_named(tmp_path: Path) -> None:
    file = tmp_path / "report.yaml"
    with pytest.raises(ResultsError, match="cannot be read"):
        read(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ResultsError, match="cannot be read"):
        read(file)


def test_aliases_that_unfold_to_a_billion_values_cost_nothing(tmp_path: Path) -> None:
    lines = ["a0: &a0 {units: s, mean: 1}"]
    lines += [f"a{one}: &a{one} [{', '.join([f'*a{one - 1}'] * 9)}]" for one in range(1, 12)]
    file = tmp_path / "report.yaml"
    file.write_text("\n".join([*lines, "version: '0.2'", "run: {uid: x}", "results: {profiling: *a11}"]))
    assert read(file).version == "0.2"


def sentence_on(source: Any) -> str:
    """What is said of a report that may be spoilt; any other exception than ours comes through."""
    try:
        assert isinstance(read(source), Report)
    except ResultsError as error:
        return str(error)
    return f"{source if isinstance(source, Path) else 'the report'}: fine"


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.just(10**400)
    | st.sampled_from(["", "s", "ms", "0.2", "percent", "inf", "2026-01-01T00:00:00Z", "PT5S", "\x00"])
    | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=5,
)
REPORTS = [
    MINIMAL,
    *(yaml.safe_load(report_file("guidellm/constant", version).read_text("utf-8")) for version in ("0.1", "0.2")),
]


def places(part: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path in a report, but for what load programs were told."""
    keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else []
    return [
        path
        for key in keys
        if key not in ("native", "args")
        for path in ((*above, key), *places(part[key], (*above, key)))
    ]


PLACES = [places(report) for report in REPORTS]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_spoilt_report_is_a_result_or_a_sentence(data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(REPORTS) - 1))
    report = deepcopy(REPORTS[which])
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from(PLACES[which]))
        part = report
        try:
            for key in above:
                part = part[key]
            if data.draw(st.booleans()):
                part[last] = data.draw(ANYTHING)
            else:
                del part[last]
        except (KeyError, IndexError, TypeError):  # spoilt before
            continue
    assert sentence_on(report).startswith("the report: ")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1), extra=st.binary(max_size=4))
def test_a_report_that_was_cut_short_is_a_result_or_a_sentence(share: float, extra: bytes, tmp_path: Path) -> None:
    whole = report_file("guidellm/constant", "0.2").read_bytes()
    file = tmp_path / "report.yaml"
    file.write_bytes(whole[: int(len(whole) * share)] + extra)
    assert sentence_on(file).startswith(str(file))
