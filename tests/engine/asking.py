"""Questions to a server, and what its answers look like."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

_FAMILY = re.compile(r"# TYPE (\S+) (\S+)")
_SAMPLE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="')


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, what kind of text it is, and the text."""

    status: int
    kind: str
    text: str

    @property
    def json(self) -> Any:
        """The answer as data."""
        return json.loads(self.text)

    @property
    def events(self) -> list[Any]:
        """The events of a stream, the last one ``[DONE]``."""
        data = [line.removeprefix("data: ") for line in self.text.splitlines() if line.startswith("data: ")]
        return [one if one == "[DONE]" else json.loads(one) for one in data]


def ask(url: str, path: str, body: Any = None, *, kind: str = "application/json") -> Answer:
    """POST a body, as JSON unless it is bytes; GET without one."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": kind} if data is not None else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer.status, answer.headers.get("content-type", ""), answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers.get("content-type", ""), error.read().decode())


def shape(value: Any) -> Any:
    """The keys and types of data, without its values; of a list that of its first entry."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return [shape(one) for one in value[:1]] if isinstance(value, list) else type(value).__name__


def families(text: str) -> dict[str, str]:
    """Metric -> type."""
    return {match[1]: match[2] for match in _FAMILY.finditer(text)}


def labels(text: str) -> dict[str, set[str]]:
    """Sample -> names of its labels."""
    found: dict[str, set[str]] = {}
    for match in map(_SAMPLE.fullmatch, text.splitlines()):
        if match:
            found.setdefault(match[1], set()).update(_LABEL.findall(match[2] or ""))
    return found


def total(url: str, name: str) -> float:
    """The sum of a counter over its labels."""
    matches = map(_SAMPLE.fullmatch, ask(url, "/metrics").text.splitlines())
    return sum(float(match[3]) for match in matches if match and match[1] == name)
