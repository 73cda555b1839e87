"""Run by guidellm's own Python: prints the shape of its scenario files, as ``guidellm_keys.json`` has it a version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

#: Stands for the models of a key below which the program takes any key.
ANYTHING = "*"


def main() -> None:
    """Print one JSON object: model -> key -> kind (``""`` where there are none) -> the model that its value is then."""
    scenario = _scenario()
    schema = scenario.model_json_schema()
    models = {"BenchmarkScenario": schema, **schema["$defs"]}
    shape = {
        name: {key: dict(sorted(_below(value))) for key, value in model.get("properties", {}).items()}
        for name, model in models.items()
    }
    print(json.dumps(shape, sort_keys=True))


def _scenario() -> Any:
    # Neither is in the environment of the tests; in which of the two it is depends on the version.
    try:
        import guidellm.entrypoints  # type: ignore[import-not-found]
        from guidellm.schemas.benchmark import BenchmarkScenario  # type: ignore[import-not-found]
    except ImportError:
        import guidellm.benchmark.entrypoints  # type: ignore[import-not-found]  # noqa: F401
        from guidellm.benchmark.schemas.entrypoints import BenchmarkScenario  # type: ignore[import-not-found]
    return BenchmarkScenario


def _below(value: Any) -> Iterator[tuple[str, str]]:
    if "discriminator" in value:
        for kind, reference in value["discriminator"]["mapping"].items():
            yield kind, _model(reference)
    elif "$ref" in value:
        yield "", _model(value["$ref"])
    elif value.get("type") == "object" or value.get("additionalProperties"):
        yield "", ANYTHING
    else:
        for inner in (value.get("items"), *value.get("anyOf", ()), *value.get("oneOf", ())):
            if isinstance(inner, dict):
                yield from _below(inner)


def _model(reference: str) -> str:
    return reference.rpartition("/")[2]


if __name__ == "__main__":
    main()
