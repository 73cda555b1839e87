"""``REPLACE_ENV_*`` tokens, as in llm-d-benchmark's profiles: what a profile cannot know until its stack is there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pytest_llmdbench.declared.source import KeyPath, Source, dotted
from pytest_llmdbench.errors import DeclarationError, nearest

_TOKEN: Final = re.compile(r"REPLACE_ENV_(\w+)")

#: The names that a run fills in, and what with.
FILLED: Final = {
    "LLMDBENCH_DEPLOY_CURRENT_MODEL": "the model's name",
    "LLMDBENCH_DEPLOY_CURRENT_TOKENIZER": "the tokenizer that harnesses use",
    "LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN": "the longest prompt and answer together, in tokens",
    "LLMDBENCH_HARNESS_STACK_ENDPOINT_URL": "the base URL of the stack",
}
#: All names that llm-d-benchmark's profiles use; those that nothing fills in have to be replaced by an override.
TOKENS: Final = {
    **FILLED,
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


def check_fillable(tree: Any) -> None:
    """Raise DeclarationError for a token that no run fills in, with the override that would replace it."""
    for path, text in _strings(tree):
        for name in _TOKEN.findall(text):
            if name not in FILLED:
                raise DeclarationError(
                    f"REPLACE_ENV_{name} ({TOKENS.get(name, 'unknown')}) is not filled in by a run; "
                    f"say --llmd-overrides {dotted(path)}=..."
                )


def fill_tokens(tree: Any, values: Mapping[str, Any]) -> Any:
    """The tree with every token replaced; a scalar that is nothing but a token takes the value with its type.

    ``values`` holds all of :data:`FILLED`; other tokens were refused by :func:`check_fillable`.
    """
    if isinstance(tree, Mapping):
        return {key: fill_tokens(value, values) for key, value in tree.items()}
    if isinstance(tree, list):
        return [fill_tokens(item, values) for item in tree]
    if not isinstance(tree, str) or "REPLACE_ENV_" not in tree:
        return tree

    whole = _TOKEN.fullmatch(tree)
    return values[whole[1]] if whole else _TOKEN.sub(lambda match: str(values[match[1]]), tree)


def _strings(tree: Any, at: KeyPath = ()) -> list[tuple[KeyPath, str]]:
    if isinstance(tree, str):
        return [(at, tree)]
    if isinstance(tree, Mapping):
        return [found for key, value in tree.items() for found in _strings(value, (*at, str(key)))]
    if isinstance(tree, list):
        return [found for index, item in enumerate(tree) for found in _strings(item, (*at, index))]
    return []
