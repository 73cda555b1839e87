"""The text that servers offer their metrics in, and what may be wrong with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdbench.results.server_metrics.exposition import ExpositionError, parse
from tests.results.server_metrics_made import WANTED, sample

NAMES = frozenset({"a_total", "b"})


def test_samples_have_their_labels_and_values() -> None:
    text = (
        "# HELP a_total Some help.\n# TYPE a_total counter\n"
        'a_total{le="+Inf",x="y"} 3.0\na_total 4 1700000000000\nb{ x = "1" , } -2.5e-3\nother{x="y"} 9\n'
    )
    assert parse(text, NAMES) == {
        "a_total": {(("le", "+Inf"), ("x", "y")): 3.0, (): 4.0},
        "b": {(("x", "1"),): -0.0025},
    }


def test_labels_may_hold_anything() -> None:
    text = 'b{x="a\\"b\\\\c\\nd, e} 7",y="ü{=}"} 1\n'
    assert parse(text, NAMES) == {"b": {(("x", 'a"b\\c\nd, e} 7'), ("y", "ü{=}")): 1.0}}


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e999"])
def test_a_value_that_is_no_number_is_absent(value: str) -> None:
    assert parse(f"b {value}\na_total 1\n", NAMES) == {"a_total": {(): 1.0}}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("b 1\nb 23", "it was cut short"),
        ("b\n", "cannot be read: 'b'"),
        ("b x\n", "cannot be read: 'b x'"),
        ('b{x="1"\n', "cannot be read"),
        ('b{x="1} 2\n', "cannot be read"),
        ("b{x=1} 2\n", "cannot be read"),
        ('b{x="1" y="2"} 2\n', "cannot be read"),
        ("b{" + 'x="1",' * 100_000 + "\n", "cannot be read"),
        ("".join(f'b{{x="{number}"}} 1\n' for number in range(20_001)), "more than 20000 series"),
    ],
)
def test_a_text_that_is_none_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ExpositionError, match=why):
        parse(text, NAMES)


def test_what_is_not_asked_for_is_not_looked_at() -> None:
    assert parse("<html>\nother{{{\nb_ 1\nbb 2\n", NAMES) == {}


@given(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=60), st.sampled_from(["", "b", "b{", 'b{x="', "a_total "])
)
def test_any_text_is_read_or_refused(text: str, begin: str) -> None:
    try:
        found = parse(f"{begin}{text}\n", NAMES)
    except ExpositionError:
        return
    assert found.keys() <= NAMES


@pytest.mark.parametrize("server", ["vllm-0.32.0", "simulator"])
def test_genuine_texts_are_read_as_prometheus_own_client_reads_them(server: str) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    for when in ("first", "during", "last"):
        text = sample(server, when)
        theirs: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in parser.text_string_to_metric_families(text):
            for one in family.samples:
                if one.name in WANTED:
                    theirs.setdefault(one.name, {})[tuple(sorted(one.labels.items()))] = one.value
        assert parse(text, WANTED) == theirs
