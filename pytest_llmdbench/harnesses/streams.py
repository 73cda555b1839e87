"""What is seen of streamed answers alone."""

from __future__ import annotations

from typing import Final

#: Metrics that are made from the times at which tokens come.
OF_TOKENS: Final = ("ttft", "tpot", "itl")


def unseen_without(key: str) -> dict[str, str]:
    """Metrics -> why a load whose answers are not streamed has none of them; ``key`` in its workload streams them."""
    return dict.fromkeys(OF_TOKENS, f"its answers are not streamed; say '{key}' in the workload")
