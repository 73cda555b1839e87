"""Run by inference-perf's own Python: prints the shape of its configuration, as ``inference_perf_keys.json`` has it."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import AliasChoices, BaseModel

#: Below this, the program takes any key.
ANYTHING = "*"


def main() -> None:
    """Print one JSON object: model -> key -> the models that its value may be."""
    from inference_perf.config import Config  # type: ignore[import-not-found]  # not in the environment of the tests

    shape: dict[str, dict[str, list[str]]] = {}
    _walk(Config, shape)
    print(json.dumps(shape, sort_keys=True))


def _walk(model: type[BaseModel], shape: dict[str, dict[str, list[str]]]) -> None:
    if model.__name__ in shape:
        return
    keys = shape[model.__name__] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        names = {name, *(str(choice) for choice in alias.choices)} if isinstance(alias, AliasChoices) else {name}
        below = list(_models(field.annotation))
        for key in names:
            keys[key] = sorted({ANYTHING if inner is dict else inner.__name__ for inner in below})
        for inner in below:
            if inner is not dict:
                _walk(inner, shape)


def _models(annotation: Any) -> Iterator[type[Any]]:
    origin = typing.get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif origin is dict:
        yield dict
    elif origin is not None:
        for argument in typing.get_args(annotation):
            yield from _models(argument)


if __name__ == "__main__":
    main()
