"""``llmdbench-explore``: what fits, how fast it is, and what it costs, from the command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.capacity import arguments, texts
from pytest_llmdbench.capacity.answers import exploration_data, speed_data, validation_data
from pytest_llmdbench.capacity.estimators import ROOFLINE, estimator, stated
from pytest_llmdbench.capacity.load_options import load_of
from pytest_llmdbench.errors import DeclarationError, LlmdError

if TYPE_CHECKING:
    from pytest_llmdbench.capacity.explore import Exploration

#: Exit codes: the answer is yes, the answer is no, the question cannot be meant.
YES, NO, WRONG = 0, 1, 2
Answer = tuple[int, Any, Iterable[str]]


def main(words: Sequence[str] | None = None) -> int:
    """Answer one question; the exit code says yes (0), no (1), or that it cannot be meant (2)."""
    given = arguments.parser().parse_args(words)
    try:
        code, data, lines = _COMMANDS[given.command](given)
        shown = json.dumps(data, indent=1, allow_nan=False) if given.json else "\n".join(lines)
        print(shown, flush=True)
    except LlmdError as error:
        print(f"{arguments.PROGRAM}: {error}", file=sys.stderr)
        return WRONG
    except BrokenPipeError:  # the reader, head for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _check(given: argparse.Namespace) -> Answer:
    from pytest_llmdbench.capacity.nodes import slowed
    from pytest_llmdbench.capacity.speed import places
    from pytest_llmdbench.capacity.validation import validate

    if given.scenario:
        arguments.only_a_scenario(given)
        return _check_scenario(given.scenario, given.gpu)
    config = arguments.engine_of(given)
    found = validate(config)
    data, lines = validation_data(found), list(texts.validation_lines(found))
    load = load_of(given)
    code = NO if found.verdict == "will not start" else YES
    if load is not None and code == YES:
        estimate = estimator(given.estimator)
        try:
            fast = slowed(estimate(config, load), config, load)
            room = int(places(config, load)) * config.data_parallel_size
        except DeclarationError as error:  # it starts, and does not carry this load
            return NO, data | {"speed": None, "why_no_speed": str(error)}, [*lines, "", f"  no speed: {error}"]
        data |= {"speed": speed_data(fast), "places": room}
        lines += ["", *texts.speed_lines(fast, room), f"  by {fast.source}"]
    return code, data, lines


def _check_scenario(name: str, gpu: str | None) -> Answer:
    from pytest_llmdbench.capacity.engines import gpu_of, on_gpu, read_scenario
    from pytest_llmdbench.capacity.models import find_model
    from pytest_llmdbench.capacity.preflight import check_scenario
    from pytest_llmdbench.declared.places import Places, shipped_root

    scenario = read_scenario(Places([Path.cwd(), shipped_root()]).scenario(name))
    if gpu:
        scenario = on_gpu(scenario, gpu)
    # A standup judges what it knows; who asks is told what is missing.
    gpu_of(scenario)
    find_model(scenario.model.name, key="model.name")
    found = check_scenario(scenario)
    data = [{"role": one.role, **validation_data(one.validation)} for one in found]
    code = NO if any(one.fatal for one in found) else YES if found else WRONG
    return code, data, texts.finding_lines(found)


def _recommend(given: argparse.Namespace) -> Answer:
    from pytest_llmdbench.capacity.explore import explore

    found = explore(arguments.asked_of(given), given.rank)
    lines = [*texts.exploration_lines(found, given.top), *_estimated(found, given.estimator)]
    if given.html:
        from pytest_llmdbench.capacity.page import page

        lines.append(_write(given.html, page(found)))
    code = YES if found.best else NO
    if given.write_scenario:
        try:
            lines.append(_write_best(given.write_scenario, found))
        except DeclarationError as error:  # what was found is an answer all the same
            print(f"{arguments.PROGRAM}: no scenario was written: {error}", file=sys.stderr)
            code = code or WRONG
    return code, exploration_data(found), lines


def _write_best(path: str, found: Exploration) -> str:
    from pytest_llmdbench.capacity.scenario_file import scenario_of

    if not found.best:
        raise DeclarationError("nothing that was tried meets what is asked for")
    return _write_scenario(path, scenario_of(found.best[0], found.asked))


def _estimated(found: Exploration, name: str) -> Iterator[str]:
    """What the speeds are from. They are never from two estimators: those would not be comparable."""
    for text in stated(one.speed for one in (*found.meeting, *found.missing)):
        yield f"estimated by {text}"
    if name != ROOFLINE:
        yield f"what {name} cannot estimate is left out, not estimated in another way"


def _rehearse(given: argparse.Namespace) -> Answer:
    from pytest_llmdbench.capacity.placement import check_sizes
    from pytest_llmdbench.capacity.scenario_file import rehearsal_of
    from pytest_llmdbench.capacity.simulated import simulator_like
    from pytest_llmdbench.declared.objective import parse_objectives

    config = arguments.engine_of(given)
    check_sizes(config)
    text = rehearsal_of(config, [one.text for one in parse_objectives(given.slo, "--slo")])
    if given.write:
        text = _write_scenario(given.write, text)
    return YES, asdict(simulator_like(config)), [text.rstrip()]


def _compare(given: argparse.Namespace) -> Answer:
    from pytest_llmdbench.capacity.calibration import compare, read_log
    from pytest_llmdbench.capacity.corrections import store
    from pytest_llmdbench.capacity.placement import check_sizes

    log = read_log(Path(given.log))
    config = arguments.engine_of(given, log.version)
    check_sizes(config)
    found = compare(config, log.values)
    if not found:
        raise DeclarationError(f"{given.log}: no word on memory in it; is it the log of an engine's start?")
    lines = list(texts.comparison_lines(found))
    if given.store:
        kept = store(config, found, arguments.corrections_of(given))
        lines.append(f"kept: the KV cache of this engine is {kept.kv_gib:+.2f} GiB from what is estimated")
    return YES, [asdict(one) | {"error": one.error} for one in found], lines


def _models(_: argparse.Namespace) -> Answer:
    from pytest_llmdbench.capacity.models import known_models

    names = sorted(known_models(), key=str.casefold)
    return YES, names, names


def _gpus(_: argparse.Namespace) -> Answer:
    from pytest_llmdbench.capacity.cost import price_of_gpu
    from pytest_llmdbench.capacity.gpus import known_gpus

    lines, data = [], []
    for one in known_gpus():
        price = price_of_gpu(one.name)
        cost = f"{price.per_hour:6.3f} {price.currency} an hour ({price.date})" if price else "no price"
        speed = f"{one.bandwidth / 1e9:6.0f} GB/s"
        lines.append(f"{one.name:18} {one.memory_gib:7.2f} GiB {speed}  {cost:31}  {one.product}")
        data.append(asdict(one) | {"price": asdict(price) if price else None})
    return YES, data, lines


def _write_scenario(path: str, text: str) -> str:
    return f"{_write(path, text)}; run it with --scenario={path}"


def _write(path: str, text: str) -> str:
    """Write a file, and say so."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise DeclarationError(f"{path}: cannot be written: {error.strerror}") from error
    return f"{path} written"


_COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], Answer]]] = {
    "check": _check,
    "recommend": _recommend,
    "rehearse": _rehearse,
    "compare": _compare,
    "models": _models,
    "gpus": _gpus,
}
