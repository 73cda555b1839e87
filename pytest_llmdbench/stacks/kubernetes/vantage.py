"""The stack as the load sees it: HTTP requests sent from inside the cluster, by the anchor's container."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.stacks.kubernetes.anchor_job import CONTAINER
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.streams import run_in

#: Runs there. What to ask comes as an argument, as JSON; the answers go out the same way.
_SCRIPT: Final = """
import json, sys, urllib.error, urllib.request
answers = []
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for one in json.loads(sys.argv[1]):
    body = None if one["body"] is None else json.dumps(one["body"]).encode()
    request = urllib.request.Request(one["url"], data=body, method=one["method"])
    request.add_header("Content-Type", "application/json")
    try:
        with opener.open(request, timeout=one["seconds"]) as answer:
            answers.append([answer.status, answer.read().decode("utf-8", "replace")])
    except urllib.error.HTTPError as error:
        answers.append([error.code, error.read().decode("utf-8", "replace")])
    except (OSError, ValueError) as error:
        answers.append([0, str(error)])
print(json.dumps(answers))
"""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; ``body`` is sent as JSON, and makes it a POST unless ``method`` says otherwise."""

    url: str
    body: Mapping[str, Any] | None = None
    method: str | None = None
    seconds: float = 30.0

    def to_json(self) -> dict[str, Any]:
        """As the script takes it."""
        method = self.method or ("GET" if self.body is None else "POST")
        return {"url": self.url, "body": self.body, "method": method, "seconds": self.seconds}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: HTTP's status, 0 where nobody answered, then ``text`` says why."""

    status: int
    text: str

    @property
    def data(self) -> Any:
        """The JSON in it; None where there is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


def ask(cluster: Cluster, pod: str, questions: Sequence[Ask]) -> list[Answer]:
    """The answers to all requests, one after the other. Raises ClusterError if they could not even be asked."""
    if not questions:
        return []
    told = json.dumps([one.to_json() for one in questions])
    longest = sum(one.seconds for one in questions) + 30
    done = run_in(cluster, pod, CONTAINER, ["python3", "-c", _SCRIPT, told], silence_s=longest)
    if done.code:
        raise ClusterError(f"requests from {pod} could not be sent: {done.err.strip()[-300:]}")
    return [Answer(int(status), str(text)) for status, text in json.loads(done.out)]
