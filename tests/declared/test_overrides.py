"""Overrides change the load that they name, or say that they do not."""

from typing import Any

import pytest

from pytest_llmdbench.declared.overrides import apply_overrides, parse_overrides
from pytest_llmdbench.errors import DeclarationError

PROFILE: dict[str, Any] = {
    "load": {"type": "constant", "stages": [{"rate": 1, "duration": 120}, {"rate": 2, "duration": 120}]},
    "data": {"shared_prefix": {"question_len": 256}},
    "max-concurrency": 4,
}
KNOWN = frozenset({"num_workers", "rate", "session_rate"})


def overridden(text: str) -> dict[str, Any]:
    return apply_overrides(PROFILE, parse_overrides(text, "--llmd-overrides"), KNOWN, "--llmd-overrides")


def test_a_short_key_sets_every_leaf_of_that_name() -> None:
    stages = overridden("rate=5,duration=60")["load"]["stages"]
    assert stages == [{"rate": 5, "duration": 60}, {"rate": 5, "duration": 60}]


@pytest.mark.parametrize("path", ["load.stages.1.rate", "load.stages[1].rate", "load.stages.-1.rate"])
def test_a_dotted_path_sets_exactly_one(path: str) -> None:
    assert [stage["rate"] for stage in overridden(f"{path}=9")["load"]["stages"]] == [1, 9]


def test_a_key_with_dashes_is_a_key_like_any_other() -> None:
    assert overridden("max-concurrency=64")["max-concurrency"] == 64


def test_a_whole_list_can_be_replaced() -> None:
    changed = overridden("load.stages=[{rate: 1, duration: 2}],rate=7")
    assert changed["load"]["stages"] == [{"rate": 7, "duration": 2}]


def test_a_key_that_the_harness_knows_may_be_added_under_what_is_there() -> None:
    assert overridden("load.num_workers=2")["load"]["num_workers"] == 2
    assert overridden("load.stages.0.session_rate=0.02")["load"]["stages"][0]["session_rate"] == 0.02


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("rat=5", "did you mean 'rate'"),
        ("load.stages.0.rte=5", "did you mean 'load.stages.0.rate'"),
        ("load.stages.7.rate=5", "load.stages"),
        ("nothing.like.this=5", "'nothing.like.this' matches nothing"),
    ],
)
def test_an_override_that_matches_nothing_is_an_error_with_near_names(text: str, hint: str) -> None:
    with pytest.raises(DeclarationError, match="matches nothing in the workload") as caught:
        overridden(text)
    assert hint in str(caught.value)


def test_the_workload_itself_is_left_as_it_was() -> None:
    overridden("rate=5")
    assert PROFILE["load"]["stages"][0]["rate"] == 1


@pytest.mark.parametrize("text", ["rate", "=5", "rate=5,duration"])
def test_a_part_that_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError, match="expected KEY=VALUE"):
        parse_overrides(text, "--llmd-overrides")


def test_values_are_yaml_and_commas_inside_brackets_or_quotes_do_not_split() -> None:
    assert parse_overrides("a=[1, 2],b='x,y',c=true,d=null,e=1.5", "o") == {
        "a": [1, 2], "b": "x,y", "c": True, "d": None, "e": 1.5,
    }  # fmt: skip


def test_a_key_that_is_a_dotted_text_is_found_by_its_whole_and_by_its_last_part() -> None:
    profile = {
        "spec": {"profile": {"kind": "concurrent"}},
        "benchmarks": [{"profile.streams": 300}, {"profile.streams": 1}],
    }
    for key in ("streams", "profile.streams"):
        assert apply_overrides(profile, {key: 2}, frozenset(), "here")["benchmarks"] == [{"profile.streams": 2}] * 2


def test_a_flag_that_a_flat_profile_does_not_say_is_added_where_the_program_knows_it() -> None:
    assert apply_overrides({"num-prompts": 5}, {"temperature": 0}, frozenset({"temperature"}), "here") == {
        "num-prompts": 5,
        "temperature": 0,
    }
    with pytest.raises(DeclarationError, match="'temperature' matches nothing"):
        apply_overrides({"load": {"stages": []}}, {"temperature": 0}, frozenset({"temperature"}), "here")


def test_an_override_that_matches_nothing_names_the_workload_it_was_laid_over() -> None:
    with pytest.raises(
        DeclarationError, match=r"-o: 'duration' matches nothing in guidellm/sanity_random; there is s$"
    ):
        apply_overrides({"s": 1}, {"duration": 5}, frozenset(), "-o", "guidellm/sanity_random")
