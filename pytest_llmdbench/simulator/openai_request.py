"""Understanding the body of ``/v1/completions`` and ``/v1/chat/completions`` as vLLM does, refusals included.

Fields that only change which words a model picks (temperature, top_p, seed, ...) and unknown ones are accepted.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

from pytest_llmdbench.simulator.api_error import malformed, refused, unknown_model, wrong_media_type
from pytest_llmdbench.simulator.config import SimulatorConfig
from pytest_llmdbench.simulator.prompt import Prompt, make_prompt
from pytest_llmdbench.simulator.words import IMAGE_TOKENS, MEDIA_WORD

MOST_PROMPTS = 1024
MOST_CHOICES = 64
_WHOLE = re.compile(r"[+-]?\d{1,20}")
#: What vLLM takes for a flag, written as text.
_FLAGS = {
    **dict.fromkeys(("true", "1", "1.0", "t", "y", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "0.0", "f", "n", "no", "off"), False),
}
COMPLETION_MAX_TOKENS = 16
"""``max_tokens`` of a completion that does not say; a chat that does not say gets all of the context."""


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt of a request, the longest answer to it, and the key of its wording."""

    prompt: Prompt
    max_tokens: int
    key: int


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a client asks for; each question gets ``n`` answers."""

    chat: bool
    questions: tuple[Question, ...]
    n: int
    stream: bool
    include_usage: bool
    continuous_usage: bool
    min_tokens: int
    ignore_eos: bool
    stop: tuple[str, ...]
    keep_stop: bool


def decode_body(body: bytes | bytearray, content_type: str) -> dict[str, Any]:
    """The JSON object in ``body``; raises ``ApiError`` (400) when there is none."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise wrong_media_type()
    try:
        data = json.loads(body)
    except json.JSONDecodeError as error:
        raise malformed("JSON decode error", error.pos, "json_invalid") from None
    except (ValueError, RecursionError):
        raise malformed("JSON decode error", 0, "json_invalid") from None
    if not isinstance(data, dict):
        raise malformed("Input should be a valid dictionary", kind="model_attributes_type")
    return data


def parse_generation(data: dict[str, Any], chat: bool, config: SimulatorConfig) -> GenerationRequest:
    """A request from its decoded body; raises ``ApiError`` with vLLM's status and message."""
    fields = _Fields(data)
    stream = fields.flag("stream")
    options = data.get("stream_options") or {}
    if not isinstance(options, dict):
        raise malformed("Input should be a valid dictionary", "stream_options", "model_attributes_type")
    if options and not stream:
        raise refused("Stream options can only be defined when `stream=True`.", "stream_options")
    asked = fields.whole("max_completion_tokens", None) if chat else None
    asked = fields.whole("max_tokens", None if chat else COMPLETION_MAX_TOKENS) if asked is None else asked
    minimum = fields.whole("min_tokens", 0) or 0
    n = fields.whole("n", 1) or 0
    stop = fields.stop()
    prompts = _chat_tokens(data) if chat else _completion_tokens(data)
    check_model(data, config)
    if chat and not data["messages"]:
        raise refused("Cannot apply chat template to an empty conversation. Provide at least one message.")
    fields.check_sampling(n, minimum)
    questions = tuple(_question(tokens, asked, minimum, config) for tokens in prompts)
    include_usage = bool(options.get("include_usage", bool(options)))
    return GenerationRequest(
        chat=chat,
        questions=questions,
        n=n,
        stream=stream,
        include_usage=include_usage,
        continuous_usage=include_usage and bool(options.get("continuous_usage_stats", False)),
        min_tokens=minimum,
        ignore_eos=fields.flag("ignore_eos"),
        stop=stop,
        keep_stop=fields.flag("include_stop_str_in_output"),
    )


def check_model(data: dict[str, Any], config: SimulatorConfig) -> None:
    """Raise ``ApiError`` (404) when the body names a model other than the served one; naming none is allowed."""
    model = data.get("model")
    if model is not None and not isinstance(model, str):
        raise malformed("Input should be a valid string", "model", "string_type")
    if model and model != config.model:
        raise unknown_model(model, config.model)


def prompt_words(data: dict[str, Any]) -> list[str] | list[int]:
    """The tokens of the one prompt, or of the messages, in a ``/tokenize`` body."""
    return _chat_tokens(data)[0] if "messages" in data else _completion_tokens(data)[0]


def _question(tokens: list[str] | list[int], asked: int | None, minimum: int, config: SimulatorConfig) -> Question:
    length, longest = len(tokens), config.max_model_len
    if asked is not None and asked > longest:
        message = (
            f"max_tokens={asked} cannot be greater than max_model_len={longest}. Please request fewer output tokens."
        )
        raise refused(message, "max_tokens", asked)
    if not length:
        raise refused("The decoder prompt cannot be empty")
    if length > longest:
        raise refused(
            f"This model's maximum context length is {longest} tokens. However, your prompt contains {length} input "
            "tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
            "prompt.",
            "input_tokens",
            length,
        )
    max_tokens = longest - length if asked is None else min(asked, longest - length)
    if max_tokens < 1:
        raise refused(f"max_tokens must be at least 1, got {max_tokens}.", "max_tokens", max_tokens)
    if minimum > max_tokens:
        raise refused(f"min_tokens must be less than or equal to max_tokens={max_tokens}, got {minimum}.")
    prompt = make_prompt(tokens, config.block_size, config.prefix_caching)
    return Question(prompt, max_tokens, _key(tokens))


def _key(tokens: list[str] | list[int]) -> int:
    """A number that is the same for the same prompt in every process."""
    return zlib.crc32(" ".join(map(str, (len(tokens), *tokens[:8], *tokens[-24:]))).encode())


def _completion_tokens(data: dict[str, Any]) -> list[list[str] | list[int]]:
    prompt = data.get("prompt")
    if prompt is None or prompt in ("", []):
        raise refused("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    if isinstance(prompt, str):
        return [prompt.split()]
    if isinstance(prompt, list):
        if _is_ids(prompt):
            return [prompt]
        if len(prompt) > MOST_PROMPTS:
            count = f"prompt list length {len(prompt)} exceeds the maximum allowed count of {MOST_PROMPTS}."
            raise malformed(f"Value error, {count}", "prompt")
        if all(isinstance(item, str) for item in prompt):
            return [item.split() for item in prompt]
        if all(isinstance(item, list) and item and _is_ids(item) for item in prompt):
            return list(prompt)
    raise malformed("Input should be a string, a list of strings, token ids or lists of token ids", "prompt")


def _is_ids(items: list[Any]) -> bool:
    return all(type(item) is int and item >= 0 for item in items)


def _chat_tokens(data: dict[str, Any]) -> list[list[str] | list[int]]:
    messages = data.get("messages")
    if messages is None:
        raise malformed("Field required", "messages", "missing")
    if not isinstance(messages, list):
        raise malformed("Input should be a valid list", "messages", "list_type")
    tokens: list[str] = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise malformed("Field required", f"messages.{index}.role", "missing")
        content = message.get("content")
        if isinstance(content, str):
            tokens += content.split()
        elif isinstance(content, list):
            for part in content:
                tokens += _part_tokens(part, f"messages.{index}.content")
        elif content is not None:
            raise malformed("Input should be a valid string or list of parts", f"messages.{index}.content")
    return [tokens]


def _part_tokens(part: Any, at: str) -> list[str]:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise malformed("Field required", f"{at}.type", "missing")
    if part["type"] == "text":
        return str(part.get("text") or "").split()
    return [MEDIA_WORD] * IMAGE_TOKENS


class _Fields:
    """Reading typed fields of a body, null being the same as absent."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def whole(self, name: str, default: int | None) -> int | None:
        value = self.data.get(name)
        if value is None:
            return default
        # vLLM takes 3.0, "3" and true for whole numbers as well.
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            return int(value)
        if not isinstance(value, (int, float)) or value != value // 1:
            raise malformed("Input should be a valid integer", name, "int_type")
        return int(value)

    def flag(self, name: str) -> bool:
        value = self.data.get(name)
        word = str(value).lower() if isinstance(value, (str, bool, int, float)) else ""
        if value is not None and word not in _FLAGS:
            raise malformed("Input should be a valid boolean", name, "bool_type")
        return value is not None and _FLAGS[word]

    def stop(self) -> tuple[str, ...]:
        value = self.data.get("stop")
        strings = [value] if isinstance(value, str) else value or []
        if not isinstance(strings, list) or not all(isinstance(item, str) for item in strings):
            raise malformed("Input should be a valid string or list of strings", "stop", "string_type")
        if "" in strings:
            raise refused("stop cannot contain an empty string.")
        return tuple(strings)

    def check_sampling(self, n: int, minimum: int) -> None:
        temperature = self.data.get("temperature")
        if temperature is not None and (isinstance(temperature, bool) or not isinstance(temperature, (int, float))):
            raise malformed("Input should be a valid number", "temperature", "float_type")
        if temperature is not None and not 0 <= temperature <= 2:
            how = "non-negative" if temperature < 0 else "in [0, 2]"
            raise refused(f"temperature must be {how}, got {temperature}.", "temperature", temperature)
        if n < 1:
            raise refused(f"n must be at least 1, got {n}.")
        if n > MOST_CHOICES:
            raise refused(f"n must be at most {MOST_CHOICES}, got {n}.", "n", n)
        if minimum < 0:
            raise refused(f"min_tokens must be greater than or equal to 0, got {minimum}.")
        if temperature == 0 and n > 1:
            raise refused(f"n must be 1 when using greedy sampling, got {n}.")
