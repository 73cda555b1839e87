"""Answering one generation request: from the engine's tokens to what the client reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pytest_llmdbench.simulator.answer_plan import AnswerPlan
from pytest_llmdbench.simulator.event_format import EventFormat, Usage
from pytest_llmdbench.simulator.http1 import Connection
from pytest_llmdbench.simulator.openai_request import GenerationRequest
from pytest_llmdbench.simulator.sequence import Sequence
from pytest_llmdbench.simulator.words import pieces

_PIECES = pieces()
_MASK = len(_PIECES) - 1


class Host(Protocol):
    """What an answer needs of the server around it."""

    def flush_later(self, answer: Answer) -> None:
        """Call ``answer.flush`` after all tokens of this deadline."""

    def gone(self, answer: Answer, outcome: str) -> None:
        """The answer is over with ``outcome``: finished, aborted or errored."""


class Choice:
    """One of the answers to a request, on its way to the client."""

    __slots__ = ("_head", "_start", "_stride", "_tail", "answer", "index", "plain", "plan", "send", "sent", "sequence")

    def __init__(self, answer: Answer, index: int, plan: AnswerPlan) -> None:
        self.answer = answer
        self.index = index
        self.plan = plan
        self.sent = 0
        self.sequence: Sequence
        self.plain = answer.plain and plan.text_end is None
        self._head, self._tail = answer.format.token_parts(index) if answer.request.stream else (b"", b"")
        self._start, self._stride = plan.wording.start, plan.wording.stride
        self.send: Callable[[bytes], None] = answer.connection.write

    def streamed_token(self) -> None:
        """The engine has one more token for a stream. Most are an ordinary event, made here as cheaply as can be."""
        sequence = self.sequence
        at = sequence.generated - 1
        if self.plain and at and sequence.finish_reason is None:
            self.sent = at + 1
            self.send(self._head + _PIECES[(self._start + at * self._stride) & _MASK] + self._tail)
        else:
            self.answer.special_token(self)

    def whole_token(self) -> None:
        """The engine has one more token for an answer that is sent as a whole."""
        if self.sequence.finish_reason is not None:
            self.answer.choice_done()

    def usage(self) -> Usage:
        """Token counts of this choice so far."""
        return Usage(self.sequence.prompt.length, self.sequence.generated)


class Answer:
    """The answer to one request: one choice for each question and each of its ``n`` answers."""

    def __init__(
        self,
        request: GenerationRequest,
        connection: Connection,
        form: EventFormat,
        host: Host,
        tokens_per_event: int,
        cut: bool,
    ) -> None:
        """``cut`` closes the connection half-way through the first choice."""
        self.request = request
        self.connection = connection
        self.format = form
        self.choices: list[Choice] = []
        self.over = False
        self._host = host
        self._tokens_per_event = tokens_per_event
        self._cut = cut
        self._open = len(request.questions) * request.n
        self._waiting: list[bytes] = []
        self.plain = self._open == 1 and tokens_per_event == 1 and not cut and not request.continuous_usage

    def begin(self) -> None:
        """Send the head of the stream, if it is one."""
        self.connection.on_lost = self.lost
        if self.request.stream:
            self.format.begin_stream()
            self.connection.begin_stream()

    def add(self, plan: AnswerPlan) -> Choice:
        """One more choice; the caller gives it its sequence."""
        choice = Choice(self, len(self.choices), plan)
        self.choices.append(choice)
        return choice

    def special_token(self, choice: Choice) -> None:
        """A token that is the first, the last, merged with others, cut by a stop sequence or by a fault."""
        sequence, plan, request = choice.sequence, choice.plan, self.request
        count, reason = sequence.generated, sequence.finish_reason
        if self.over:
            return
        if self._cut and choice.index == 0 and count > plan.length // 2:
            self._over("errored")
            self.connection.cut()
            return
        if count - choice.sent < self._tokens_per_event and reason is None:
            return
        begin, choice.sent = choice.sent, count
        if not begin and self.format.chat:
            empty = Usage(sequence.prompt.length, 0) if request.continuous_usage else None
            self._queue(self.format.role(choice.index, empty))
        usage = choice.usage() if request.continuous_usage else None
        stop_reason = plan.stop_reason if reason else None
        self._queue(self.format.text(choice.index, plan.text(begin, count), reason, stop_reason, usage))
        if reason is not None:
            self.choice_done()

    def choice_done(self) -> None:
        """One choice is complete; with the last one the answer is."""
        self._open -= 1
        if self._open or self.over:
            return
        if self.request.stream:
            if self.request.include_usage:
                self._queue(self.format.usage(self._usage()))
            self._queue(self.format.end())
            return
        self._over("finished")
        texts = [
            (choice.plan.text(0, choice.sequence.generated), choice.sequence.finish_reason, choice.plan.stop_reason)
            for choice in self.choices
        ]
        self.connection.respond(200, self.format.body(texts, self._usage()))

    def flush(self) -> None:
        """Write what was queued at this deadline, in one piece."""
        data, self._waiting = b"".join(self._waiting), []
        if self.over:
            return
        self.connection.write(data)
        if not self._open:
            self._over("finished")
            self.connection.end()

    def lost(self) -> None:
        """The client has gone."""
        if not self.over:
            self._over("aborted")

    def _over(self, outcome: str) -> None:
        self.over = True
        self.connection.on_lost = None
        self._host.gone(self, outcome)

    def _queue(self, data: bytes) -> None:
        if not self._waiting:
            self._host.flush_later(self)
        self._waiting.append(data)

    def _usage(self) -> Usage:
        per_question = self.choices[:: self.request.n]
        prompt = sum(choice.sequence.prompt.length for choice in per_question)
        return Usage(prompt, sum(choice.sequence.generated for choice in self.choices))
