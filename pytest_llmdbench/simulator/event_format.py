"""The text of answers: streamed events and whole bodies, in the shape that vLLM gives them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pytest_llmdbench.simulator.words import PIECE_LENGTH

DONE = b"data: [DONE]\n\n"
_compact = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer or request."""

    prompt: int
    completion: int

    def as_json(self) -> dict[str, Any]:
        """As the field ``usage`` has it."""
        counts = {"prompt_tokens": self.prompt, "total_tokens": self.prompt + self.completion}
        return {**counts, "completion_tokens": self.completion}


class EventFormat:
    """Writes the events, or the one body, that answer a request."""

    def __init__(self, chat: bool, model: str, request_id: str, created: int, framed: bool) -> None:
        self.chat = chat
        self.framed = framed
        self._identity = {"id": request_id, "object": "text_completion", "created": created, "model": model}
        self._begin = b""

    def begin_stream(self) -> None:
        """Prepare what all events begin with."""
        identity = {**self._identity, "object": "chat.completion.chunk"} if self.chat else self._identity
        self._begin = b"data: " + _compact(identity).encode()[:-1] + b',"choices":['

    def frame(self, event: bytes) -> bytes:
        """``event`` as a chunk of the HTTP body."""
        return b"%x\r\n%b\r\n" % (len(event), event) if self.framed else event

    def token_parts(self, index: int) -> tuple[bytes, bytes]:
        """What is before and after the text of an ordinary event, so that most tokens cost one concatenation."""
        before, after = self._around(index, None, None)
        head, tail = self._begin + before, after + b"]}\n\n"
        if self.framed:
            head = b"%x\r\n" % (len(head) + PIECE_LENGTH + len(tail)) + head
            tail += b"\r\n"
        return head, tail

    def role(self, index: int, usage: Usage | None) -> bytes:
        """The first event of a chat stream."""
        delta = b'{"index":%d,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}' % index
        return self.frame(self._begin + delta + b"]" + _usage_field(usage) + b"}\n\n")

    def text(
        self, index: int, text: str, finish_reason: str | None, stop_reason: str | None, usage: Usage | None
    ) -> bytes:
        """An event with text and, if it is the last one, why the answer ends."""
        before, after = self._around(index, finish_reason, stop_reason)
        event = self._begin + before + text.encode() + after + b"]" + _usage_field(usage) + b"}\n\n"
        return self.frame(event)

    def usage(self, usage: Usage) -> bytes:
        """The event with the token counts that ends a stream with ``include_usage``."""
        return self.frame(self._begin + b"]" + _usage_field(usage) + b"}\n\n")

    def end(self) -> bytes:
        """The very last event."""
        return self.frame(DONE) + (b"0\r\n\r\n" if self.framed else b"")

    def _around(self, index: int, finish_reason: str | None, stop_reason: str | None) -> tuple[bytes, bytes]:
        finish, stop = json.dumps(finish_reason).encode(), json.dumps(stop_reason).encode()
        if not self.chat:
            return b'{"index":%d,"text":"' % index, b'","logprobs":null,"finish_reason":%b,"stop_reason":%b}' % (
                finish,
                stop,
            )
        last = b',"stop_reason":%b' % stop if finish_reason else b""
        after = b'"},"logprobs":null,"finish_reason":%b%b,"token_ids":null}' % (finish, last)
        return b'{"index":%d,"delta":{"content":"' % index, after

    def body(self, answers: list[tuple[str, str | None, str | None]], usage: Usage) -> bytes:
        """A whole answer: text, finish reason and stop reason of each choice, and the token counts of all."""
        choices = []
        for index, (text, finish_reason, stop_reason) in enumerate(answers):
            content: dict[str, Any] = {"text": text}
            if self.chat:
                content = {"message": {"role": "assistant", "content": text, "refusal": None, "reasoning": None}}
            reasons = {"logprobs": None, "finish_reason": finish_reason, "stop_reason": stop_reason}
            choices.append({"index": index, **content, **reasons})
        whole = {
            **self._identity,
            "object": "chat.completion" if self.chat else "text_completion",
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": None,
            "usage": {**usage.as_json(), "prompt_tokens_details": None},
            "prompt_logprobs": None,
            "kv_transfer_params": None,
        }
        return _compact(whole).encode()


def _usage_field(usage: Usage | None) -> bytes:
    return b',"usage":' + _compact(usage.as_json()).encode() if usage else b""
