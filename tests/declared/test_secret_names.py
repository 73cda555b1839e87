"""A secret has no place in a scenario, which is kept with results: its name gives it away; its value is not shown."""

from __future__ import annotations

import pytest

from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.declared.source import parse_yaml
from pytest_llmdbench.declared.strict import read_model
from pytest_llmdbench.errors import DeclarationError

SECRET = "planted-7f3a"


def read(text: str) -> Scenario:
    layers = Layers()
    layers.add_source(parse_yaml(text, "s.yaml"))
    return read_model(Scenario, layers)


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN", "TOKEN", "hf_token", "DB_PASSWORD", "DB_PASSWD", "CLIENT_SECRET", "OPENAI_API_KEY", "OPENAI_APIKEY",
        "AWS_SECRET_ACCESS_KEY", "CREDENTIAL", "GOOGLE_CREDENTIALS",
    ],
)  # fmt: skip
@pytest.mark.parametrize("role", ["pods", "decode", "prefill"])
def test_a_secret_among_the_pods_variables_is_refused_with_the_way_out_and_not_shown(role: str, name: str) -> None:
    with pytest.raises(DeclarationError, match=rf"s\.yaml:\d+: '{role}\.env': {name} .*env_from_secrets") as caught:
        read(f"{role}:\n  env:\n    HOME: /tmp\n    {name}: {SECRET}\n")
    assert SECRET not in str(caught.value)


def test_a_secret_among_the_pickers_variables_is_refused_and_says_where_its_token_comes_from() -> None:
    with pytest.raises(DeclarationError, match=r"'router\.picker\.env': HF_TOKEN .*huggingface\.secret") as caught:
        read(f"router:\n  picker:\n    env:\n      HF_TOKEN: {SECRET}\n")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["TOKENIZERS_PARALLELISM", "MAX_TOKENS", "TOKEN_LIMIT", "BROKEN", "MYTOKEN", "SECRETARY", "HF_TOKEN_PATH"]
)
def test_names_that_only_hold_such_a_word_are_let_through(name: str) -> None:
    assert read(f"pods:\n  env:\n    {name}: x\n").pods.env == {name: "x"}
    assert read(f"router:\n  picker:\n    env:\n      {name}: x\n").router.picker.env == {name: "x"}


def test_a_reference_to_a_secret_of_the_cluster_is_let_through() -> None:
    made = read("pods:\n  env_from_secrets:\n    HF_TOKEN: {secret: mine, key: token}\n")
    assert made.pods.env_from_secrets["HF_TOKEN"].secret == "mine"
