"""Reports and tables are written as PyYAML would write them, only sooner."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdbench.results.plain_yaml import plain_yaml

SINGLE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.binary(),
    st.sampled_from(["yes", "1e3", "1_000", "12:30", "2026-11-27", "~", "<<", "=", "- a", "a: b", "#", " x", "a\n"]),
)  # fmt: skip
TREES = st.recursive(
    SINGLE,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text() | st.integers(), below, max_size=4),
    max_leaves=20,
)


class Dumper(yaml.CSafeDumper):
    """PyYAML's own, told to refer to nothing."""

    def ignore_aliases(self, data: object) -> bool:
        return True


@given(TREES)
def test_any_plain_data_is_written_word_for_word_as_pyyaml_writes_it(tree: object) -> None:
    assert plain_yaml(tree) == yaml.dump(tree, Dumper=Dumper, sort_keys=False, allow_unicode=True)


@pytest.mark.parametrize("value", [0.0, -0.0, 0, False, 1, 1.0, True, math.inf, 1e-7, 2e300, "1", "1.0", "true", "é"])
def test_values_that_are_equal_or_read_alike_stay_what_they_are(value: object) -> None:
    read = yaml.safe_load(plain_yaml({"value": [value, 1, True, "1"]}))["value"][0]
    assert (type(read), str(read)) == (type(value), str(value))


def test_what_stands_twice_is_written_twice() -> None:
    day = date(2026, 11, 27)
    same = {"at": [day, day], "since": datetime(2026, 11, 27, 10, tzinfo=UTC)}
    text = plain_yaml([same, same])
    assert "&" not in text
    assert yaml.safe_load(text) == [same, same]
