"""From merged layers to a typed model: unknown keys and wrong values become errors with place and nearest key."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.source import KeyPath, dotted
from pytest_llmdbench.errors import DeclarationError, nearest


class Strict(BaseModel):
    """Base of all declared things: unknown keys are errors, values never change after reading."""

    # Built once, as parts of the whole that is read, and not once more each for itself.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    def read_from(self, layers: Layers) -> None:
        """Look once more at what this whole was read from: check what is on this machine, note where values came from.

        Raises:
            DeclarationError: something that it names is not there; names the place.
        """


class WrongKey(ValueError):
    """What a check of our own says of a key, dotted from the class that it is in."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


#: Pydantic's words for Python's types, in YAML's.
_PLAIN: Final = {
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "dict_type": "should be keys and values",
    "model_type": "should be keys and values",
    "dataclass_type": "should be keys and values",
    "string_type": "should be text",
}

M = TypeVar("M", bound=Strict)


def read_model(model: type[M], layers: Layers) -> M:
    """Build ``model`` from merged layers.

    Raises:
        DeclarationError: lists every wrong key and value, each with the place it was written at.
    """
    try:
        made = model.model_validate(layers.tree)
    except ValidationError as error:
        problems = [_explain(model, layers, dict(problem)) for problem in error.errors()]
        raise DeclarationError("\n".join(dict.fromkeys(problems))) from error
    made.read_from(layers)
    return made


def _explain(model: type[BaseModel], layers: Layers, problem: dict[str, Any]) -> str:
    path: KeyPath = tuple(problem["loc"])
    # A check of our own says which key it is about; pydantic only knows the class that the key is in.
    key = getattr(problem.get("ctx", {}).get("error"), "key", None)
    path = (*path, *key.split(".")) if key else path
    where = layers.origin(path)
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        hint = nearest(str(path[-1]), keys_of(model, path[:-1]))
        return f"{where}: no key '{dotted(path)}'; {hint}"
    reason = _PLAIN.get(problem["type"]) or problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if not path:
        return f"{where}: {reason}"
    given = problem.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool | None) else ""
    return f"{where}: '{dotted(path)}': {reason}{shown}"


def keys_of(model: type[Any], path: KeyPath = ()) -> list[str]:
    """The keys that may stand at ``path`` inside ``model``; empty where the model does not limit them."""
    for part in path:
        below = _fields(model).get(str(part))
        if below is None:
            return []
        model = below
    return list(_fields(model))


def _fields(model: Any) -> dict[str, Any]:
    """Key -> type, of a pydantic model or a dataclass."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        return {name: info.annotation for name, info in model.model_fields.items()}
    if dataclasses.is_dataclass(model):
        from typing import get_type_hints

        return get_type_hints(model)
    return {}
