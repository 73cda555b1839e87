"""Which benchmark an image of eval-containers is of, by its name; before it runs nothing else tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pytest_llmdbench.errors import DeclarationError

#: ``ghcr.io/exgentic/evals/BENCHMARK--AGENT-standalone:latest``, also in a mirror that has kept the last two parts.
_NAME: Final = re.compile(r"(?P<place>(?:.*/)?evals/)(?P<benchmark>[^/:@]+?)--[^/:@]+(?:[:@].*)?")
#: Benchmarks that go by another name in their images' than in the results that these write.
_IN_IMAGES: Final[Mapping[str, str]] = {"tbench": "terminal-bench", "webarena-verified": "webarena"}


def check(image: str, benchmark: str | None) -> None:
    """Compare the benchmark that an image's name says, if it says one, with that of the workload, if it is of one.

    Raises:
        DeclarationError: they are two; names both, and the way out.
    """
    found = _NAME.fullmatch(image)
    if found is None or benchmark is None:
        return
    named, wanted = found["benchmark"], _IN_IMAGES.get(benchmark, benchmark)
    # Some benchmarks have an image for each task: terminal-bench-TASK--AGENT.
    if named != wanted and not named.startswith(f"{wanted}-"):
        raise DeclarationError(
            f"load.image is an image of the benchmark '{named}' ({image}), and the workload is of '{benchmark}': name "
            f"that one's image (--llmd-set load.image={found['place']}{wanted}--AGENT-standalone), or take a workload "
            f"of '{named}'"
        )
