"""One sequence in the engine: a prompt, how far it has got, and what it holds."""

from __future__ import annotations

from collections.abc import Callable

from pytest_llmdbench.simulator.prompt import Prompt


class Sequence:
    """A request for one answer, as the engine sees it. Times are on the engine's clock, seconds."""

    __slots__ = (
        "admission",
        "anonymous_blocks",
        "answer",
        "arrival",
        "cached",
        "capacity",
        "computed",
        "finish_reason",
        "first_sent",
        "generated",
        "last_due",
        "last_sent",
        "length",
        "named_blocks",
        "not_before",
        "on_token",
        "planned_reason",
        "preemptions",
        "prompt",
        "scheduled_at",
        "state",
    )

    def __init__(
        self,
        prompt: Prompt,
        length: int,
        arrival: float,
        planned_reason: str = "length",
        answer: Callable[[int], list[str]] = lambda _: [],
        on_token: Callable[[], None] = lambda: None,
    ) -> None:
        """``length`` is how many tokens the answer will have, ``planned_reason`` why it ends there.

        ``answer(n)`` tells its first ``n`` words, which become shareable blocks; ``on_token`` is told of each token.
        """
        self.prompt = prompt
        self.length = length
        self.arrival = arrival
        self.planned_reason = planned_reason
        self.answer = answer
        self.on_token = on_token
        self.state = "new"
        self.finish_reason: str | None = None
        self.generated = 0
        self.computed = 0
        self.cached = 0
        self.capacity = 0
        self.named_blocks: list[int] = []
        self.anonymous_blocks = 0
        self.admission = 0
        self.preemptions = 0
        self.not_before = arrival
        self.scheduled_at = 0.0
        self.last_due = 0.0
        self.first_sent = self.last_sent = 0.0

    @property
    def remaining(self) -> int:
        """Tokens whose KV is not computed yet: the rest of the prompt, or the last token of the answer."""
        return self.prompt.length + self.generated - self.computed
