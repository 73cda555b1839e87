"""``REPLACE_ENV_*`` tokens, as in llm-d-benchmark's profiles: what a profile cannot know until its stack is there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pytest_llmdbench.declared.source import KeyPath, Source
from pytest_llmdbench.errors import DeclarationError, nearest

_TOKEN: Final = re.compile(r"REPLACE_ENV_(\w+)")

#: The names that this plugin fills in, and what with.
TOKENS: Final = {
    "LLMDBENCH_DEPLOY_CURRENT_MODEL": "the model's name",
    "LLMDBENCH_DEPLOY_CURRENT_TOKENIZER": "the tokenizer that harnesses use",
    "LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN": "the longest prompt and answer together, in tokens",
    "LLMDBENCH_HARNESS_STACK_ENDPOINT_URL": "the base URL of the stack",
    "LLMDBENCH_RUN_DATASET_DIR": "the folder of the data set",
    "LLMDBENCH_RUN_DATASET_FILE": "the file of the data set",
    "LLMDBENCH_HARNESS_PVC_NAME": "the volume claim that results go to",
}


def check_tokens(source: Source) -> None:
    """Raise DeclarationError for the first token that is none of ours, with its place and the nearest name."""
    for path, text in _strings(source.data):
        for name in _TOKEN.findall(text):
            if name not in TOKENS:
                hint = nearest(name, TOKENS)
                raise DeclarationError(f"{source.where(path)}: unknown token REPLACE_ENV_{name}; {hint}")


def fill_tokens(tree: Any, values: Mapping[str, Any]) -> Any:
    """The tree with every token replaced; a scalar that is nothing but a token takes the value with its type.

    Raises:
        DeclarationError: a token whose value is not known for this stack; says what it stands for.
    """
    if isinstance(tree, Mapping):
        return {key: fill_tokens(value, values) for key, value in tree.items()}
    if isinstance(tree, list):
        return [fill_tokens(item, values) for item in tree]
    if not isinstance(tree, str) or "REPLACE_ENV_" not in tree:
        return tree

    def value(name: str) -> Any:
        if values.get(name) is None:
            raise DeclarationError(
                f"the workload asks for REPLACE_ENV_{name} ({TOKENS[name]}), which this stack has none of; "
                f"set the key that holds it with --llmd-overrides"
            )
        return values[name]

    whole = _TOKEN.fullmatch(tree)
    return value(whole[1]) if whole else _TOKEN.sub(lambda match: str(value(match[1])), tree)


def _strings(tree: Any, at: KeyPath = ()) -> list[tuple[KeyPath, str]]:
    if isinstance(tree, str):
        return [(at, tree)]
    if isinstance(tree, Mapping):
        return [found for key, value in tree.items() for found in _strings(value, (*at, str(key)))]
    if isinstance(tree, list):
        return [found for index, item in enumerate(tree) for found in _strings(item, (*at, index))]
    return []
