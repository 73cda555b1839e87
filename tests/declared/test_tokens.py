"""Profiles of llm-d-benchmark load as they are: their tokens are filled in, and a token nobody knows is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.declared.source import parse_yaml
from pytest_llmdbench.declared.tokens import check_fillable, check_tokens, dataset_values, fill_tokens
from pytest_llmdbench.errors import DeclarationError

FOLDER = {"data": {"path": "REPLACE_ENV_LLMDBENCH_RUN_DATASET_DIR"}}
FILE = {"path": "REPLACE_ENV_LLMDBENCH_RUN_DATASET_DIR/REPLACE_ENV_LLMDBENCH_RUN_DATASET_FILE"}


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """A folder with one file."""
    (tmp_path / "one.json").write_text("{}", encoding="utf-8")
    return tmp_path


def test_a_token_takes_its_value_inside_a_text_and_with_its_type_when_alone() -> None:
    values = {"LLMDBENCH_DEPLOY_CURRENT_MODEL": "m", "LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN": 4096}
    tree = {
        "name": "REPLACE_ENV_LLMDBENCH_DEPLOY_CURRENT_MODEL",
        "longest": "REPLACE_ENV_LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN",
        "filter": ["x < REPLACE_ENV_LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN"],
    }
    assert fill_tokens(tree, values) == {"name": "m", "longest": 4096, "filter": ["x < 4096"]}


def test_an_unknown_token_is_an_error_with_its_line_and_the_nearest_name() -> None:
    source = parse_yaml("a: 1\nb: REPLACE_ENV_LLMDBENCH_DEPLOY_CURRENT_MODLE\n", "w.yaml.in")
    with pytest.raises(DeclarationError, match=r"w\.yaml\.in:2: unknown token .*did you mean .*CURRENT_MODEL"):
        check_tokens(source)


def test_a_token_that_no_run_fills_in_is_an_error_with_the_override_that_replaces_it() -> None:
    with pytest.raises(DeclarationError, match=r"the volume claim.*say --llmd-overrides a\.pvc="):
        check_fillable({"a": {"pvc": "REPLACE_ENV_LLMDBENCH_HARNESS_PVC_NAME"}})


def test_what_nobody_knows_of_a_stack_is_an_error_with_the_override_that_replaces_it() -> None:
    values = {"LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN": None}
    with pytest.raises(DeclarationError, match=r"in tokens\) is not known of this stack; say --llmd-overrides a\.b="):
        fill_tokens({"a": {"b": "x < REPLACE_ENV_LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN"}}, values)


def test_a_data_set_is_a_folder_or_a_file(traces: Path) -> None:
    check_fillable(FOLDER, traces)
    assert fill_tokens(FOLDER, dataset_values(traces)) == {"data": {"path": str(traces)}}
    check_fillable(FILE, traces / "one.json")
    assert fill_tokens(FILE, dataset_values(traces / "one.json")) == {"path": f"{traces}/one.json"}


def test_without_a_data_set_the_error_names_the_option_and_the_override() -> None:
    with pytest.raises(DeclarationError, match=r"'data\.path'.*--llmd-dataset FOLDER, or --llmd-overrides data\.path="):
        check_fillable(FOLDER)
    with pytest.raises(DeclarationError, match=r"--llmd-dataset FILE"):
        check_fillable(FILE)


@pytest.mark.parametrize(
    ("tree", "name", "message"),
    [
        (FOLDER, "one.json", r"one\.json is a file; name a folder, or say --llmd-overrides data\.path="),
        (FILE, ".", r"is a folder; name a file, or say --llmd-overrides path="),
        (FOLDER, "two", r"--llmd-dataset .*two: there is no such file or folder"),
    ],
)
def test_a_data_set_of_the_other_kind_is_an_error(tree: dict[str, Any], name: str, message: str, traces: Path) -> None:
    with pytest.raises(DeclarationError, match=message):
        check_fillable(tree, traces / name)
