"""The text of answers: streamed events and whole bodies, in the shape that vLLM gives them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pytest_llmdbench.simulator.words import PIECE_LENGTH

VERSION = "0.32.0"
"""The vLLM whose protocol and metrics this is."""
FINGERPRINT = f"vllm-{VERSION}-simulator"
DONE = b"data: [DONE]\n\n"
_FINGERPRINT_FIELD = b',"system_fingerprint":"' + FINGERPRINT.encode() + b'"'
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
    """Writes the events, or the one body, that answer a request; ``usage_follows``: a stream ends with its usage."""

    def __init__(
        self, chat: bool, model: str, request_id: str, created: int, framed: bool, usage_follows: bool = False
    ) -> None:
        self.chat = chat
        self._usage_follows = usage_follows
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
        prompt = b',"prompt_token_ids":null,"prompt_text":null'
        return self.frame(self._begin + delta + b"]" + self._usage_so_far(usage) + prompt + b"}\n\n")

    def text(
        self, index: int, text: str, finish_reason: str | None, stop_reason: str | None, usage: Usage | None
    ) -> bytes:
        """An event with text and, if it is the last one, why the answer ends."""
        before, after = self._around(index, finish_reason, stop_reason)
        last = _FINGERPRINT_FIELD if finish_reason and not self._usage_follows else b""
        event = self._begin + before + text.encode() + after + b"]" + self._usage_so_far(usage) + last + b"}\n\n"
        return self.frame(event)

    def usage(self, usage: Usage) -> bytes:
        """The event with the token counts that ends a stream with ``include_usage``."""
        return self.frame(self._begin + b"]" + _usage_field(usage) + _FINGERPRINT_FIELD + b"}\n\n")

    def end(self) -> bytes:
        """The very last event."""
        return self.frame(DONE) + (b"0\r\n\r\n" if self.framed else b"")

    def _usage_so_far(self, usage: Usage | None) -> bytes:
        """The counts that ``continuous_usage_stats`` puts into every event."""
        field = _usage_field(usage)
        return field[:-1] + b',"completion_tokens_details":null}' if field and self.chat else field

    def _around(self, index: int, finish_reason: str | None, stop_reason: str | None) -> tuple[bytes, bytes]:
        finish, stop = json.dumps(finish_reason).encode(), json.dumps(stop_reason).encode()
        if not self.chat:
            reasons = b'","logprobs":null,"finish_reason":%b,"stop_reason":%b' % (finish, stop)
            return b'{"index":%d,"text":"' % index, reasons + b',"prompt_token_ids":null,"token_ids":null}'
        last = b',"stop_reason":%b' % stop if finish_reason else b""
        after = b'"},"logprobs":null,"finish_reason":%b%b,"token_ids":null}' % (finish, last)
        return b'{"index":%d,"delta":{"content":"' % index, after

    def body(self, answers: list[tuple[str, str | None, str | None]], usage: Usage) -> bytes:
        """A whole answer: text, finish reason and stop reason of each choice, and the token counts of all."""
        # What is said of the prompt stands in each choice of a completion, and beside the choices of a chat.
        of_choice = _OF_CHOICE if self.chat else (*_OF_CHOICE, *_OF_PROMPT)
        of_answer = (*_OF_PROMPT, "prompt_text", *_OF_ANSWER) if self.chat else _OF_ANSWER
        choices = []
        for index, (text, finish_reason, stop_reason) in enumerate(answers):
            content: dict[str, Any] = {"text": text}
            if self.chat:
                content = {"message": {"role": "assistant", "content": text, **dict.fromkeys(_OF_MESSAGE)}}
            reasons = {"logprobs": None, "finish_reason": finish_reason, "stop_reason": stop_reason}
            choices.append({"index": index, **content, **reasons, **dict.fromkeys(of_choice)})
        whole = {
            **self._identity,
            "object": "chat.completion" if self.chat else "text_completion",
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": {**usage.as_json(), "prompt_tokens_details": None, "completion_tokens_details": None},
            **dict.fromkeys(of_answer),
        }
        return _compact(whole).encode()


#: Fields of a whole answer that are there and empty: of a chat's message, of a choice, about the prompt, of all of it.
_OF_MESSAGE = ("refusal", "annotations", "audio", "function_call", "reasoning")
_OF_CHOICE = ("token_ids", "routed_experts")
_OF_PROMPT = ("prompt_logprobs", "prompt_token_ids")
_OF_ANSWER = ("kv_transfer_params", "ec_transfer_params", "metrics")


def _usage_field(usage: Usage | None) -> bytes:
    return b',"usage":' + _compact(usage.as_json()).encode() if usage else b""
