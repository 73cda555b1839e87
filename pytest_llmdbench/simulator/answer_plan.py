"""How long an answer will be and why it ends: decided when the request comes in, for no model decides it later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_llmdbench.simulator.config import SimulatorConfig
from pytest_llmdbench.simulator.openai_request import GenerationRequest, Question
from pytest_llmdbench.simulator.spread import factors
from pytest_llmdbench.simulator.words import PIECE_LENGTH, Wording


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """An answer of ``length`` tokens; ``text_end`` cuts its text where a stop sequence was found."""

    wording: Wording
    length: int
    finish_reason: str
    stop_reason: str | None = None
    text_end: int | None = None

    def text(self, begin: int, end: int) -> str:
        """The text of tokens ``begin`` to ``end`` (not included), without what a stop sequence removes."""
        text = self.wording.text(begin, end)
        if self.text_end is None:
            return text
        at = begin * PIECE_LENGTH - 1 if begin else 0
        return text[: max(0, self.text_end - at)]


class Planner:
    """Plans answers; the lengths that the model would choose are drawn in the order of the requests."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._mean = config.answer_tokens
        self._factor: Callable[[], float] = factors(config.answer_spread, f"answer {config.seed}")

    def plan(self, request: GenerationRequest, question: Question, choice: int) -> AnswerPlan:
        """The plan of one answer; ``choice`` counts the answers to the same question."""
        wording = Wording(question.key + choice * 7919)
        length, reason = question.max_tokens, "length"
        if self._mean and not request.ignore_eos:
            natural = max(1, request.min_tokens, round(self._mean * self._factor()))
            if natural <= length:
                length, reason = natural, "stop"
        if request.stop:
            found = _find_stop(" ".join(wording.words(length)), request)
            if found:
                begin, stop = found
                end = begin + len(stop)
                tokens = (end + PIECE_LENGTH) // PIECE_LENGTH
                return AnswerPlan(wording, tokens, "stop", stop, end if request.keep_stop else begin)
        return AnswerPlan(wording, length, reason)


def _find_stop(text: str, request: GenerationRequest) -> tuple[int, str] | None:
    """The stop sequence that is complete first, not before ``min_tokens``: where it begins, and which it is."""
    required = max(0, request.min_tokens * PIECE_LENGTH - 1)
    begins = ((text.find(stop, max(0, required - len(stop) + 1)), stop) for stop in request.stop)
    found = [(begin, stop) for begin, stop in begins if begin >= 0]
    return min(found, key=lambda hit: hit[0] + len(hit[1])) if found else None
