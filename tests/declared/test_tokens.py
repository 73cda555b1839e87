"""Profiles of llm-d-benchmark load as they are: their tokens are filled in, and a token nobody knows is an error."""

import pytest

from pytest_llmdbench.declared.source import parse_yaml
from pytest_llmdbench.declared.tokens import check_fillable, check_tokens, fill_tokens
from pytest_llmdbench.errors import DeclarationError


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
    with pytest.raises(DeclarationError, match=r"the folder of the data set.*--llmd-overrides data\.path="):
        check_fillable({"data": {"path": "REPLACE_ENV_LLMDBENCH_RUN_DATASET_DIR"}})
