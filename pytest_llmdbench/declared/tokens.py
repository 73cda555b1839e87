"""``REPLACE_ENV_*`` tokens, as in llm-d-benchmark's profiles: what a profile cannot know until its stack is there."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.declared.source import KeyPath, Source, dotted
from pytest_llmdbench.errors import DeclarationError, nearest

_TOKEN: Final = re.compile(r"REPLACE_ENV_(\w+)")

#: The names that every run fills in, and what with.
FILLED: Final = {
    "LLMDBENCH_DEPLOY_CURRENT_MODEL": "the model's name",
    "LLMDBENCH_DEPLOY_CURRENT_TOKENIZER": "the tokenizer that harnesses use",
    "LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN": "the longest prompt and answer together, in tokens",
    "LLMDBENCH_HARNESS_STACK_ENDPOINT_URL": "the base URL of the stack",
}
_FOLDER: Final = "LLMDBENCH_RUN_DATASET_DIR"
_FILE: Final = "LLMDBENCH_RUN_DATASET_FILE"
#: The names that a run fills in where it was given a data set.
DATASET: Final = {
    _FOLDER: "the folder of the data set",
    _FILE: "the name of the data set's file in that folder",
}
#: The option that gives one.
DATASET_OPTION: Final = "--llmd-dataset"
#: All names that llm-d-benchmark's profiles use; one that nothing fills in has to be replaced by an override.
TOKENS: Final = {
    **FILLED,
    **DATASET,
    "LLMDBENCH_HARNESS_PVC_NAME": "the volume claim that results go to",
}


def check_tokens(source: Source) -> None:
    """Raise DeclarationError for the first token that is none of ours, with its place and the nearest name."""
    for path, text in _strings(source.data):
        for name in _TOKEN.findall(text):
            if name not in TOKENS:
                hint = nearest(name, TOKENS)
                raise DeclarationError(f"{source.where(path)}: unknown token REPLACE_ENV_{name}; {hint}")


def dataset_values(dataset: Path) -> dict[str, str]:
    """The values of the tokens of a data set: of a folder, or of a file with the folder that it is in.

    Raises:
        DeclarationError: there is no such file or folder.
    """
    path = dataset.expanduser().absolute()
    if path.is_dir():
        return {_FOLDER: str(path)}
    if path.is_file():
        return {_FOLDER: str(path.parent), _FILE: path.name}
    raise DeclarationError(f"{DATASET_OPTION} {dataset}: there is no such file or folder")


def check_fillable(tree: Any, dataset: Path | None = None) -> None:
    """Raise DeclarationError for a token that a run with this ``dataset`` does not fill in, with what would do so."""
    given = dataset_values(dataset) if dataset else {}
    for path, text in _strings(tree):
        names = _TOKEN.findall(text)
        for name in names:
            override = f"--llmd-overrides {dotted(path)}=..."
            token = f"REPLACE_ENV_{name} ({TOKENS.get(name, 'unknown')})"
            if name in DATASET:
                _check_dataset(names, given, dataset, f"'{dotted(path)}' is {token}", override)
            elif name not in FILLED:
                raise DeclarationError(f"'{dotted(path)}': {token} is not filled in by a run; say {override}")


def _check_dataset(
    names: Collection[str], given: Mapping[str, str], dataset: Path | None, what: str, override: str
) -> None:
    """Refuse what is no data set for a text with the tokens ``names``: a folder alone, or the path of a file."""
    wanted = "FILE" if _FILE in names else "FOLDER"
    if dataset is None:
        raise DeclarationError(f"{what}: say {DATASET_OPTION} {wanted}, or {override}")
    if (_FILE in names) != (_FILE in given):
        raise DeclarationError(
            f"{what}, and {DATASET_OPTION} {dataset} is a {'file' if _FILE in given else 'folder'}; "
            f"name a {wanted.lower()}, or say {override}"
        )


def fill_tokens(tree: Any, values: Mapping[str, Any]) -> Any:
    """The tree with every token replaced; a scalar that is nothing but a token takes the value with its type.

    ``values`` holds all of :data:`FILLED`, None for what nobody knows of this stack, and what :func:`dataset_values`
    gives; other tokens were refused by :func:`check_fillable`.

    Raises:
        DeclarationError: a value that is needed is not known; says which override replaces it.
    """
    for path, text in _strings(tree):
        for name in _TOKEN.findall(text):
            if values.get(name) is None:
                raise DeclarationError(
                    f"REPLACE_ENV_{name} ({TOKENS.get(name, 'unknown')}) is not known of this stack; "
                    f"say --llmd-overrides {dotted(path)}=..."
                )
    return _filled(tree, values)


def _filled(tree: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(tree, Mapping):
        return {key: _filled(value, values) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(item, values) for item in tree]
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
