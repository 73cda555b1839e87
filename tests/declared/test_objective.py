"""Objectives are read strictly: a bound that nobody meant must not gate anything."""

import pytest

from pytest_llmdbench.declared.objective import nearest_wins, parse_objective, parse_objectives
from pytest_llmdbench.errors import DeclarationError


@pytest.mark.parametrize(
    ("text", "subject", "bound"),
    [
        ("ttft.p99 <= 500ms", "ttft.p99", 0.5),
        ("ttft.p99<=500 ms", "ttft.p99", 0.5),
        ("tpot.mean < 30ms", "tpot.mean", 0.03),
        ("e2e.p95@stage2 <= 8s", "e2e.p95@stage2", 8.0),
        ("itl.p99.9 <= 200us", "itl.p99.9", 0.0002),
        ("ttft.median <= 0.1s", "ttft.median", 0.1),
        ("error_rate <= 0.1%", "error_rate", 0.001),
        ("output_tokens_per_second >= 2000", "output_tokens_per_second", 2000.0),
        ("requests_per_second > 2.5/s", "requests_per_second", 2.5),
        ("cost_per_1m_output_tokens <= 0.40", "cost_per_1m_output_tokens", 0.4),
        ("goodput(ttft<=500ms, tpot<=30ms) >= 95%", "goodput(ttft <= 500 ms, tpot <= 30 ms)", 0.95),
        ("goodput(e2e < 8s)@stage1 >= 90%", "goodput(e2e < 8 s)@stage1", 0.9),
        ("score(sanity.exact_match) >= 80%", "score(sanity.exact_match)", 0.8),
        ("startup(ready_s) <= 2min", "startup(ready_s)", 120.0),
    ],
)
def test_an_objective_is_read_into_canonical_units(text: str, subject: str, bound: float) -> None:
    objective = parse_objective(text, "here")
    assert objective.subject == subject
    assert objective.bound.limit == pytest.approx(bound)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tftf.p99 <= 500ms", "no metric 'tftf'; did you mean 'ttft'"),
        ("ttft.p99 <= 500", "the bound needs a unit: one of 'us', 'ms', 's'"),
        ("ttft.p99 <= 500%", "no unit '%' for ttft"),
        ("error_rate <= 1", "the bound needs a unit: one of '%'"),
        ("ttft <= 500ms", "say which statistic"),
        ("ttft.p100 <= 500ms", "no statistic 'p100'"),
        ("ttft.average <= 1s", "no statistic 'average'"),
        ("error_rate.p99 <= 1%", "is one number"),
        ("ttft.p99 >= 500ms", "ttft is better when lower"),
        ("output_tokens_per_second <= 5", "is better when higher"),
        ("ttft.p99 <= -5ms", "negative"),
        ("ttft.p99 == 5ms", "expected METRIC"),
        ("fast please", "expected METRIC"),
        ("goodput >= 95%", "say of what: goodput"),
        ("goodput(ttft.p99 <= 1s) >= 95%", "should be METRIC <= BOUND"),
        ("goodput(itl <= 1s) >= 95%", "a request has no 'itl'"),
        ("goodput(ttft <= 1s) >= 100%", "between 0% and 100%"),
        ("goodput(ttft <= 1) >= 95%", "the bound needs a unit"),
        ("ttft(x).p99 <= 1s", "takes no brackets"),
        ("startup(ready_s) <= 2", "the bound needs a unit"),
        ("score() >= 1", "say of what: score"),
        ("", "expected METRIC"),
    ],
)
def test_an_objective_that_cannot_be_meant_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason) as caught:
        parse_objective(text, "scenarios/x.yaml:7")
    assert str(caught.value).startswith("scenarios/x.yaml:7: ")


def test_an_objective_is_shown_in_the_unit_it_was_written_in() -> None:
    objective = parse_objective("ttft.p99 <= 500ms", "here")
    assert objective.text == "ttft.p99 <= 500 ms"
    assert objective.bound.show(0.0123) == "12.3 ms"
    assert parse_objective("error_rate <= 0.1%", "here").bound.show(0.05) == "5%"


@pytest.mark.parametrize(("operator", "at_the_bound"), [("<=", True), ("<", False)])
def test_the_operator_says_whether_the_bound_itself_is_good(operator: str, at_the_bound: bool) -> None:
    objective = parse_objective(f"ttft.p99 {operator} 1s", "here")
    assert objective.bound.met_by(1.0) is at_the_bound
    assert objective.bound.met_by(0.5)
    assert not objective.bound.met_by(1.5)


def test_several_objectives_may_stand_in_one_text() -> None:
    assert [one.subject for one in parse_objectives(["ttft.p99<=1s, error_rate<=1%"], "x")] == [
        "ttft.p99",
        "error_rate",
    ]


def test_commas_in_brackets_do_not_part_objectives() -> None:
    texts = ["goodput(ttft<=1s,tpot<=30ms)>=95%,error_rate<=1%"]
    assert [one.metric for one in parse_objectives(texts, "x")] == ["goodput", "error_rate"]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("ttft.p99 <= 1s", 0.01),
        ("ttft.median <= 1s", 0.5),
        ("goodput(ttft<=1s) >= 95%", 0.05),
        ("ttft.mean <= 1s", None),
    ],
)
def test_a_percentile_or_a_goodput_says_how_many_requests_may_be_bad(text: str, allowed: float | None) -> None:
    found = parse_objective(text, "x").allowed
    assert found == (allowed if allowed is None else pytest.approx(allowed))


def test_the_nearest_objective_on_a_subject_wins_and_the_others_stay() -> None:
    far = parse_objectives(["ttft.p99<=1s", "error_rate<=1%"], "scenario")
    near = parse_objectives(["ttft.p99<=1ms"], "--llmd-slo")
    assert [(one.text, one.origin) for one in nearest_wins(far, near)] == [
        ("ttft.p99 <= 1 ms", "--llmd-slo"),
        ("error_rate <= 1%", "scenario"),
    ]
