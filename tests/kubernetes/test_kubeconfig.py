"""Without a cluster that can be talked to, one sentence says what is missing and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdbench.stacks.kubernetes.kubeconfig import why_no_cluster

ERROR = ValueError("Invalid kube-config file. Expected key current-context in config.")
TWO = "contexts: [{name: lab, context: {cluster: c, user: u}}, {name: prod, context: {cluster: c, user: u}}]\n"


def why(folder: Path, text: str, context: str | None = None) -> str:
    file = folder / "config"
    file.write_text(text)
    return why_no_cluster(ERROR, context, {"KUBECONFIG": str(file)}).removeprefix(f"{file}: ")


def test_without_any_kubeconfig_the_way_out_is_a_scenario_without_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert why_no_cluster(ERROR, None, {}) == (
        "no kubeconfig: neither KUBECONFIG nor ~/.kube/config; --scenario=local needs no cluster"
    )


def test_a_variable_that_names_no_file_is_told_with_its_value() -> None:
    said = why_no_cluster(ERROR, None, {"KUBECONFIG": "/nowhere/config"})
    assert said.startswith("no kubeconfig: KUBECONFIG=/nowhere/config is not there; ")


def test_where_there_is_a_file_the_option_that_chooses_a_context_is_named_with_what_there_is(tmp_path: Path) -> None:
    said = why(tmp_path, TWO)
    assert said.startswith("Invalid kube-config file. Expected key current-context in config; choose a context with ")
    assert said.endswith("--llmd-context or cluster.context; there is lab, prod")


def test_a_context_that_is_not_there_is_told_with_the_nearest_that_is(tmp_path: Path) -> None:
    assert why(tmp_path, TWO, "labs") == "no context 'labs'; did you mean 'lab'?"


@pytest.mark.parametrize("text", ["a: [", "hello", "- 1", "contexts: yes"])
def test_a_file_that_is_no_kubeconfig_is_one_sentence(tmp_path: Path, text: str) -> None:
    assert why(tmp_path, text).startswith("cannot be read as a kubeconfig; ")


@pytest.mark.parametrize("text", ["a: [", "hello", "", "contexts: []", TWO])
def test_a_run_without_a_cluster_says_why_in_the_case_and_not_again_of_its_stack(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (pytester.path / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(pytester.path / "config"))
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.workload("sanity")
        def test_chat(stack):
            pass
        """
    )
    done = pytester.runpytest_subprocess("--scenario=kind", "--llmd-set=load.image=x")
    (said,) = [line for line in done.outlines if line.startswith("stack kind: ") and "standing up" not in line]
    assert said.startswith(f"stack kind: {pytester.path / 'config'}: ")
    assert "Error(" not in said
