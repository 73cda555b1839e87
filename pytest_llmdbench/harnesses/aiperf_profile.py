"""What an aiperf profile means before it runs: the flags of ``aiperf profile`` in a flat map, and their load."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from pytest_llmdbench.errors import DeclarationError, nearest
from pytest_llmdbench.harnesses.harness import PlannedStage, Profile

#: How many values a flag takes.
Kind = Literal["bare", "one", "many"]

#: Seconds from the program's start to its first request: nine processes, the tokenizer, the prompts.
START_S: Final = 8.0
#: Seconds from the last answer to the end: statistics and files.
END_S: Final = 2.0

#: Formats of data sets whose requests carry the times they are sent at, which the program then keeps to.
TRACES: Final = frozenset({"mooncake_trace", "bailian_trace", "baseten_trace"})

#: Beginnings of flags that make many runs of one, each in a folder of its own.
_RUNS_MANY: Final = ("search-", "sweep-", "parameter-sweep-", "convergence-", "num-profile-runs", "config", "variant")
#: Flags that make the program collect what the run records from the stack itself.
_COLLECTS: Final = frozenset({"gpu-telemetry", "server-metrics"})
_SECRET_HEADER: Final = re.compile(r"\s*[{\"']*\s*(authorization|x-api-key|api-key|cookie|proxy-authorization)\b", re.I)
_SEVERAL_NUMBERS: Final = re.compile(r"\s*[\d.]+\s*(,\s*[\d.]+\s*)+")


def known_keys(version: str) -> frozenset[str]:
    """Every flag of a version, without its dashes, under each of its names."""
    return frozenset(_flags(version))


def stages(profile: Profile, version: str) -> Sequence[PlannedStage]:
    """The one stage that a profile will run. Raises DeclarationError for what the program would refuse."""
    flags = told(profile, version)
    rate = _number(flags, "request-rate") or _number(flags, "user-centric-rate")
    duration, requests = _number(flags, "benchmark-duration"), _whole(flags, "request-count")
    concurrency = _whole(flags, "concurrency")
    if _replays(flags):
        return (PlannedStage(),)
    if rate and requests and not duration:
        duration = requests / rate
    # Both a rate and a concurrency: an open loop that is held back at so many requests at once.
    return (PlannedStage(rate, None if rate else concurrency or 1, duration, requests),)


def expected_seconds(profile: Profile, version: str) -> float | None:
    """Wall seconds from the program's start to its end, about; None for a closed loop of a number of requests."""
    duration = stages(profile, version)[0].duration_s
    flags = told(profile, version)
    warmup = _number(flags, "warmup-duration") or 0.0
    return None if duration is None else START_S + warmup + duration + END_S


def told(profile: Profile, version: str) -> Mapping[str, Any]:
    """What is told the program: flag, by its first name -> True, a value, or a list of values.

    ``none`` or ``true`` stands for a flag without a value, as in llm-d-benchmark's profiles; ``false`` or nothing
    leaves a flag out.

    Raises:
        DeclarationError: a flag that this version has not, a value of a wrong kind, several runs in one, or a secret.
    """
    known = _flags(version)
    found: dict[str, Any] = {}
    for key, value in profile.items():
        if key not in known:
            raise DeclarationError(f"aiperf {version} has no flag '{key}'; {nearest(str(key), known)}")
        kind, name = known[key]
        checked = _CHECKS[kind](key, value)
        if checked is None:
            continue
        if name in found:
            raise DeclarationError(f"'{key}' is another name of a flag that is there already ('{name}')")
        _refuse(key, name, checked)
        found[name] = checked
    return found


def arguments(flags: Mapping[str, Any]) -> list[str]:
    """Flags as arguments of the command line."""
    made: list[str] = []
    for name, value in flags.items():
        values = value if isinstance(value, list) else [value]
        made += [f"--{name}" if one is True else f"--{name}={one}" for one in values]
    return made


def _refuse(key: str, name: str, value: Any) -> None:
    if name.startswith(_RUNS_MANY):
        raise DeclarationError(f"'{key}' would make aiperf run several loads in one; vary a load by treatments")
    if name in _COLLECTS:
        raise DeclarationError(f"'{key}': a run records the metrics of its stack itself; leave the flag out")
    if isinstance(value, str) and _SEVERAL_NUMBERS.fullmatch(value):
        raise DeclarationError(
            f"'{key}: {value}' would make aiperf run several loads in one; vary a load by treatments"
        )
    values = value if isinstance(value, list) else [value]
    if name == "api-key" or (name == "header" and any(_SECRET_HEADER.match(str(one)) for one in values)):
        raise DeclarationError(
            f"'{key}': a workload holds no secrets, for aiperf stores its whole command line; "
            "a tokenizer's token goes into the environment variable HF_TOKEN"
        )


def _bare(key: str, value: Any) -> Literal[True] | None:
    if value in (None, False):
        return None
    if value is True or value == "none":
        return True
    raise DeclarationError(f"'{key}' takes no value: say true, or false to leave it out (given: {value!r})")


def _one(key: str, value: Any) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise DeclarationError(f"'{key}' takes one value: a text or a number (given: {value!r})")
    return value


def _many(key: str, value: Any) -> Any:
    if isinstance(value, list):
        return [one for one in (_one(key, one) for one in value) if one is not None] or None
    return _one(key, value)


_CHECKS: Final = {"bare": _bare, "one": _one, "many": _many}


def _replays(flags: Mapping[str, Any]) -> bool:
    """Whether requests go out at the times that the data set has for them."""
    if flags.get("no-fixed-schedule"):
        return False
    return bool(flags.get("fixed-schedule")) or flags.get("custom-dataset-type") in TRACES


def _number(flags: Mapping[str, Any], name: str) -> float | None:
    value = flags.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise DeclarationError(f"'{name}' must be a number above 0 (given: {value!r})")
    return float(value)


def _whole(flags: Mapping[str, Any], name: str) -> int | None:
    value = _number(flags, name)
    if value is not None and value != int(value):
        raise DeclarationError(f"'{name}' must be a whole number (given: {value:g})")
    return None if value is None else int(value)


@cache
def _flags(version: str) -> Mapping[str, tuple[Kind, str]]:
    """Each name of a flag -> how many values it takes, and the flag's first name; from the program's own ``--help``."""
    text = Path(__file__).with_name("aiperf_flags.json").read_text(encoding="utf-8")
    kinds: Mapping[Kind, Sequence[str]] = json.loads(text)[version]
    return {
        name: (kind, names.split()[0]) for kind, flags in kinds.items() for names in flags for name in names.split()
    }
