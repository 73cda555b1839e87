"""Two runs in one namespace never touch each other: it begins with their names."""

from __future__ import annotations

import re

import pytest

from pytest_llmdbench.stacks.kubernetes.names import Names, new_run, slug

DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


@pytest.mark.parametrize("key", ["h100", "local-tp2", "8xH100", "Über_stack.v2", "a" * 60, "x-" * 30, "-", "1"])
def test_every_stack_key_becomes_a_short_name_that_kubernetes_takes(key: str) -> None:
    assert DNS_LABEL.fullmatch(slug(key))
    assert len(slug(key)) <= 20


def test_different_keys_never_share_a_name() -> None:
    keys = ["h100", "H100", "h100-", "h_100", "a" * 30, "a" * 31, "p/d", "p.d"]
    assert len({slug(key) for key in keys}) == len(keys)


def test_two_runs_of_one_scenario_have_different_names_and_labels() -> None:
    one, other = (Names(new_run(), slug("h100"), "team") for _ in range(2))
    assert one.base != other.base
    assert one.selector("server").items() != other.selector("server").items()


def test_the_longest_name_leaves_room_for_what_helm_and_kubernetes_add() -> None:
    assert len(Names(new_run(), slug("a" * 60), "team").base) <= 27


def test_an_object_that_others_wrote_gets_our_labels_and_the_owner_and_keeps_its_own() -> None:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "llmdbench-abc", "uid": "1"}
    owned = Names("abcdef", "h100", "team", owner).owned(
        {"kind": "Service", "metadata": {"name": "theirs", "labels": {"app": "x"}}}
    )
    assert owned["metadata"]["name"] == "theirs"
    assert owned["metadata"]["labels"]["app"] == "x"
    assert owned["metadata"]["labels"]["llmdbench/run"] == "abcdef"
    assert owned["metadata"]["ownerReferences"] == [owner]
