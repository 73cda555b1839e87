"""The options: each is a command-line flag, an ini key and an ``LLMDBENCH_*`` variable; the first that is set wins."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import pytest

from pytest_llmdbench.errors import DeclarationError

#: ``names``: repeatable and comma-separated; ``texts``: repeatable, commas belong to the text.
Kind = Literal["names", "texts", "text", "number", "flag"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``flag`` gives the other names: ``--llmd-dry-run``, ``llmd_dry_run``, ``LLMDBENCH_DRY_RUN``."""

    flag: str
    kind: Kind
    help: str
    metavar: str | None = None

    @property
    def word(self) -> str:
        """What all names have in common."""
        return self.flag.removeprefix("--").removeprefix("llmd-").replace("-", "_")

    @property
    def dest(self) -> str:
        """Attribute of ``config.option``; also the ini key."""
        return f"llmd_{self.word}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"LLMDBENCH_{self.word.upper()}"


OPTIONS: Final = (
    Option("--scenario", "names", "What to deploy: a name in scenarios/ or a path; repeatable. Default: local", "NAME"),
    Option("--treatments", "text", "What to vary: a treatments file with factors or listed treatments", "FILE"),
    Option("--llmd-workload", "names", "Run these loads in place of those the benchmarks name", "NAME"),
    Option("--llmd-harness", "text", "The load program to use, as in inference-perf", "NAME"),
    Option("--llmd-model", "text", "The model to serve, in place of the scenario's", "NAME"),
    Option(
        "--llmd-slo", "texts", "Objectives, as in 'ttft.p99<=500ms,error_rate<=0.1%%'; nearer than all others", "SLO"
    ),
    Option("--llmd-overrides", "texts", "Change the load: rate=5,duration=60 or load.stages.0.rate=5", "KEY=VALUE,..."),
    Option(
        "--llmd-set", "texts", "Set any scenario key: model.name=facebook/opt-125m; over everything", "KEY=VALUE,..."
    ),
    Option("--llmd-results", "text", "Where results go. Default: llmdbench-results", "DIR"),
    Option("--llmd-max-stacks", "number", "How many stacks may be up at once; -n auto starts this many workers", "N"),
    Option("--llmd-dry-run", "flag", "Print the plan (cases, stacks, load, expected duration) and start nothing"),
    Option("--llmd-explain", "flag", "Print the merged scenario with where each value came from, and stop"),
)


def add_options(parser: pytest.Parser) -> None:
    """Register every option with pytest, as flag and as ini key."""
    group = parser.getgroup("llmdbench", "benchmarks of LLM serving (llmdbench)")
    for option in OPTIONS:
        text = f"{option.help} [{option.variable}]"
        if option.kind == "flag":
            group.addoption(option.flag, dest=option.dest, action="store_true", default=None, help=text)
        else:
            action = "append" if option.kind in ("names", "texts") else "store"
            # The command line's own check: argparse names the flag and the value.
            kind = int if option.kind == "number" else str
            group.addoption(
                option.flag, dest=option.dest, action=action, type=kind, default=None, metavar=option.metavar, help=text
            )
        ini: Any = {"flag": "bool", "names": "linelist", "texts": "linelist"}.get(option.kind, "string")
        parser.addini(option.dest, option.help.replace("%%", "%"), type=ini, default=None)


class Settings(Mapping[str, Any]):
    """The options' values by word (``settings["dry_run"]``), None where nobody set one; and where each came from."""

    def __init__(self, config: pytest.Config, environ: Mapping[str, str] = os.environ) -> None:
        self._values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        for option in OPTIONS:
            for origin, value in (
                (option.flag, getattr(config.option, option.dest, None)),
                (f"${option.variable}", _from_variable(option, environ.get(option.variable))),
                (f"ini key {option.dest}", _from_ini(option, config.getini(option.dest))),
            ):
                if value is not None:
                    self._values[option.word] = _names(value) if option.kind == "names" else value
                    self.origins[option.word] = origin
                    break

    def __getitem__(self, word: str) -> Any:
        return self._values[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def origin(self, word: str) -> str:
        """Where a value came from: ``--llmd-model``, ``$LLMDBENCH_MODEL`` or ``ini key llmd_model``."""
        return self.origins[word]


def _from_variable(option: Option, text: str | None) -> Any:
    if text is None or not text.strip():
        return None
    match option.kind:
        case "flag":
            return text.strip().lower() in ("1", "true", "yes", "on") or None
        case "number":
            return _number(text, f"${option.variable}")
        case "names" | "texts":
            return [text]
        case _:
            return text


def _from_ini(option: Option, value: Any) -> Any:
    if not value:
        return None
    return _number(value, f"ini key {option.dest}") if option.kind == "number" else value


def _number(text: str, origin: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise DeclarationError(f"{origin}: expected a whole number, found {text!r}") from None


def _names(values: list[str]) -> list[str]:
    """Each name once, in the order given."""
    return list(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))
