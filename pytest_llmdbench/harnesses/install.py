"""Puts load programs onto a search path: ``python -m pytest_llmdbench.harnesses.install FOLDER NAME...``.

For images: each program gets the environment that local runs use (below ``LLMDBENCH_CACHE_DIR``), and FOLDER a small
script that starts it with what it needs.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import LlmdError, nearest
from pytest_llmdbench.harnesses.guidellm import WITHOUT_TORCH
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.harnesses.vllm_environment import VllmEnvironment


@dataclass(frozen=True, slots=True)
class Installed:
    """A harness's program in its environment, and the variables that it always needs."""

    program: str
    variables: Mapping[str, str]


#: Harnesses whose programs can be in an image. The others bring theirs along, or need none.
PROGRAMS: Final[Mapping[str, Installed]] = {
    "inference-perf": Installed("inference-perf", {}),
    "guidellm": Installed("guidellm", WITHOUT_TORCH),
    "vllm-benchmark": Installed("vllm", VllmEnvironment.variables),
    "aiperf": Installed("aiperf", {}),
    "lm-eval": Installed("lm_eval", {}),
}


def install(folder: Path, name: str) -> Path:
    """Make a harness's environment, and the script in ``folder`` that starts its program.

    Raises:
        HarnessError: it could not be installed.
    """
    harness: Any = Harnesses()(name)
    harness.prepare(lambda line: print(line, flush=True))
    installed = PROGRAMS[harness.name]
    script = folder / installed.program
    # A load may have variables of its own under the same names; these are the program's needs, and come last.
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in installed.variables.items())
    program = shlex.quote(str(harness.environment.program(installed.program)))
    script.write_text(f'#!/bin/sh\n{exports}exec {program} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script


def main(arguments: list[str]) -> int:
    """Install what is named. Gives the exit status."""
    if len(arguments) < 2:
        print(
            f"usage: python -m pytest_llmdbench.harnesses.install FOLDER NAME...\nNAME is one of {', '.join(PROGRAMS)}"
        )
        return 2
    folder, *names = arguments
    try:
        for name in names:
            if name.partition("@")[0] not in PROGRAMS:
                print(f"{name} has no program to install; {nearest(name, PROGRAMS)}", file=sys.stderr)
                return 2
            Path(folder).mkdir(parents=True, exist_ok=True)
            print(install(Path(folder).absolute(), name))
    except LlmdError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
