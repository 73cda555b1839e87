"""``deploy: endpoint``: what is there already; nothing is created but the load, nothing is changed."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.results.server_metrics.scraped import Look, Target
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.session import KubernetesSession
from pytest_llmdbench.stacks.kubernetes.vantage import Answer, Ask
from pytest_llmdbench.stacks.kubernetes.verify import completion, completion_trouble, model_trouble
from pytest_llmdbench.stacks.scrape_http import from_here
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec

#: One answer may take so long, in seconds.
PATIENCE_S: Final = 60.0


class EndpointDeployment:
    """An existing URL, service or pod; see :class:`~pytest_llmdbench.stacks.deployment.Deployment`."""

    def __init__(self, spec: StackSpec, say: Say, session: KubernetesSession) -> None:
        self._key = spec.key
        self._say = say
        self._session = session
        self._scenario = Scenario.model_validate(spec.config)
        self._interrupted = threading.Event()
        self._found: Any = None
        self._url = ""

    def up(self) -> Endpoint:
        """Find it and see that it answers a completion with the scenario's model. Raises StandupError."""
        wanted = self._scenario.endpoint
        if (wanted.url is None) == (wanted.stack is None):
            raise StandupError(
                f"stack {self._key}: deploy: endpoint needs endpoint.url (--llmd-endpoint URL) or endpoint.stack "
                "(--llmd-stack NAME), one of them"
            )
        if wanted.url is not None and not self._scenario.load_in_cluster:
            self._url = wanted.url.rstrip("/").removesuffix("/v1")
            return self._from_here(self._url, {})
        from pytest_llmdbench.stacks.kubernetes.existing import Found

        self._found = found = Found(self._key, self._scenario, self._session, self._say, self._interrupted)
        if found.inside:
            questions = [Ask(f"{found.url}/v1/models"), completion(found.url, self._scenario.model.name, PATIENCE_S)]
            self._judge(found.ask(questions), found.url)
            return self._endpoint(found.url, found.facts, found.site())
        return self._from_here(found.forward(), found.facts)

    def interrupt(self) -> None:
        """Make :meth:`up` give up soon."""
        self._interrupted.set()

    def reset(self) -> str:
        """End what a dead worker still sends; the caches are somebody else's and stay."""
        if self._found is not None:
            self._found.end_loads()
        return "the caches of an existing endpoint are left as they are"

    def look(self) -> Look:
        """The metrics that it offers; they count others' requests, too."""
        if self._found is not None:
            made: Look = self._found.look()
            return made
        return from_here([Target("endpoint", "server", f"{self._url}/metrics")])

    def observe(self) -> Mapping[str, Any]:
        """Nothing: what it says of itself is about others' requests, too."""
        return {}

    def down(self) -> None:
        """Give back what the load needed; what was benchmarked stays as it is."""
        found, self._found = self._found, None
        if found is not None:
            found.close()

    def _from_here(self, url: str, facts: Mapping[str, Any]) -> Endpoint:
        questions = [Ask(f"{url}/v1/models"), completion(url, self._scenario.model.name, PATIENCE_S)]
        self._judge([_http(one) for one in questions], url)
        return self._endpoint(url, facts, None)

    def _judge(self, answers: list[Answer], url: str) -> None:
        models, completed = answers
        trouble = model_trouble(models, self._scenario, None)
        if trouble is not None and models.status == 200:
            raise StandupError(f"stack {self._key}: {url}: {trouble}. Say which with --llmd-model NAME")
        trouble = trouble or completion_trouble(completed)
        if trouble is not None:
            raise StandupError(f"stack {self._key}: {url}: {trouble}")

    def _endpoint(self, url: str, facts: Mapping[str, Any], site: Mapping[str, Any] | None) -> Endpoint:
        model = self._scenario.model
        found = {"engine": "endpoint", "checked": round(time.time()), **facts}
        return Endpoint(url, model.name, model.tokenizer or model.name, found, site)


def _http(question: Ask) -> Answer:
    """One request from this machine."""
    told = question.to_json()
    body = None if told["body"] is None else json.dumps(told["body"]).encode()
    request = urllib.request.Request(question.url, body, {"Content-Type": "application/json"}, method=told["method"])  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=question.seconds) as answer:  # noqa: S310 - the user's own URL
            return Answer(answer.status, answer.read().decode("utf-8", errors="replace"))
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode("utf-8", errors="replace"))
    except (OSError, ValueError) as error:
        return Answer(0, str(error))
