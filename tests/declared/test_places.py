"""Declared things are found by name or by path, the nearest first."""

from pathlib import Path

import pytest

from pytest_llmdbench.declared.places import Places, shipped_root
from pytest_llmdbench.errors import DeclarationError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "workloads" / "guidellm").mkdir(parents=True)
    (tmp_path / "scenarios" / "h100.yaml").touch()
    (tmp_path / "workloads" / "guidellm" / "chat.yaml.in").touch()
    return tmp_path


def test_what_comes_with_the_plugin_is_found_by_name_anywhere() -> None:
    assert Places([shipped_root()]).scenario("local").name == "local.yaml"
    assert Places([shipped_root()]).workload("chatbot_synthetic", "inference-perf").is_file()


def test_the_project_s_own_file_is_nearer_than_the_shipped_one(project: Path) -> None:
    (project / "scenarios" / "local.yaml").touch()
    assert Places([project, shipped_root()]).scenario("local") == project / "scenarios" / "local.yaml"


def test_a_workload_may_be_named_with_its_harness_and_with_its_ending(project: Path) -> None:
    expected = project / "workloads" / "guidellm" / "chat.yaml.in"
    assert Places([project]).workload("guidellm/chat", "inference-perf") == expected
    assert Places([project]).workload("chat.yaml", "guidellm") == expected


def test_a_path_is_taken_as_it_is(project: Path) -> None:
    path = project / "scenarios" / "h100.yaml"
    assert Places([]).scenario(str(path)) == path


def test_an_unknown_scenario_lists_those_that_exist(project: Path) -> None:
    with pytest.raises(
        DeclarationError, match=r"no scenario 'h10' in scenarios/; did you mean 'h100'\? .*there is h100"
    ):
        Places([project]).scenario("h10")


def test_a_misspelt_use_case_is_told_from_the_use_cases_there_are() -> None:
    with pytest.raises(
        DeclarationError, match=r"no workload 'chatbt' in .*; did you mean 'chatbot'\? .*there is .*chatbot, "
    ):
        Places([shipped_root()]).workload("chatbt", "inference-perf")


def test_a_misspelt_path_of_a_scenario_is_told_from_the_names_there_are() -> None:
    with pytest.raises(
        DeclarationError, match=r"no scenario 'scenarios/locl\.yaml' in scenarios/; did you mean 'local'"
    ):
        Places([shipped_root()]).scenario("scenarios/locl.yaml")


def test_a_misspelt_file_is_told_from_those_beside_it(project: Path) -> None:
    with pytest.raises(DeclarationError, match=r"no scenario file '.*/h10\.yaml'; did you mean 'h100\.yaml'\?"):
        Places([]).scenario(str(project / "scenarios" / "h10.yaml"))


def test_a_path_that_leads_nowhere_says_what_was_expected() -> None:
    with pytest.raises(DeclarationError, match=r"no scenario file './no/where.yaml'; a scenario is a path"):
        Places([]).scenario("./no/where.yaml")
