"""The way to an API server: connected, asked with patience, refused in its own words. Imported where it is used."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from pytest_llmdbench.errors import LlmdError
from pytest_llmdbench.say import Say

#: The library keeps what a cluster knows in a file that anybody may have put there, and that outlives the cluster.
_NO_CACHE: Final = f"{os.devnull}/none"
#: Seconds that one answer may take; an API server that restarts does not answer at all.
REQUEST_S: Final = 15.0
#: Seconds for which an API server that does not answer, or has too much to do, is asked again.
PATIENCE_S: Final = 60.0
#: Seconds after which people are told again that the cluster does not answer; several threads may ask at once.
_TELL_EVERY_S: Final = 10.0
#: Answers that may be others in a moment.
_PASSING: Final = (429, 500, 502, 503, 504)
#: Seconds after which an internal error of the API server is taken for final.
_OWN_FAULT_S: Final = 8.0


class ClusterError(LlmdError):
    """The cluster refused or did not answer; ``status`` is HTTP's, 0 where there was none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Connection:
    """To one cluster and namespace, by a kubeconfig's context or from inside a pod. Safe from several threads.

    Every method raises ClusterError. Faults that pass (no answer, 429, 5xx) are tried again for ``patience_s``.
    """

    def __init__(self, context: str | None = None, namespace: str | None = None, say: Say | None = None) -> None:
        import yaml
        from kubernetes import config

        from pytest_llmdbench.stacks.kubernetes.kubeconfig import why_no_cluster

        self._say = say
        self.patience_s = PATIENCE_S
        self._told = float("-inf")
        self.context = context
        try:
            self._api, default = _connect(context)
        # The library looks into a file that is no kubeconfig as if it were one.
        except (config.ConfigException, yaml.YAMLError, StopIteration, OSError, TypeError, AttributeError) as error:
            raise ClusterError(why_no_cluster(error, context)) from error
        self.namespace = namespace or default or "default"
        self._dynamic: Any = None
        self._unknown: set[tuple[str, str]] = set()

    def impatient(self, seconds: float) -> Self:
        """The same connection for what may as well be asked another time: it gives up earlier, and tells nobody."""
        other = copy.copy(self)
        other.patience_s, other._say = seconds, None
        return other

    @property
    def configuration(self) -> Any:
        """The client library's configuration, for streams (exec, port-forward), which need a client of their own."""
        return self._api.configuration

    def address(self, path: str, query: Sequence[tuple[str, str]]) -> tuple[str, dict[str, str]]:
        """The URL of a path and the headers that let us in, for streams."""
        _, url, headers, *_ = self._api.param_serialize(
            "GET", path, query_params=list(query), header_params={}, auth_settings=["BearerToken"]
        )
        return url, headers

    def request(self, method: str, path: str, what: str, body: Any = None, accept: str | None = None) -> bytes:
        """The answer to one request, as it comes. ``what`` completes 'could not ...'."""
        client = self._client()
        headers = {"header_params": {"Accept": accept}} if accept else {}

        def ask() -> bytes:
            answer = client.request(
                method.lower(), path, body=body, serialize=False, _request_timeout=REQUEST_S, **headers
            )
            return bytes(answer.data)

        data: bytes = self._patiently(what, ask)
        return data

    def resource(self, api_version: str, kind: str) -> Any:
        """The client library's handle of a kind; one that the cluster does not know has status 404."""
        from kubernetes.dynamic.exceptions import ResourceNotFoundError

        def find() -> Any:
            if (api_version, kind) in self._unknown:
                raise ClusterError(f"the cluster knows no {kind} of {api_version}", 404)
            try:
                return self._client().resources.get(api_version=api_version, kind=kind)
            except ResourceNotFoundError as error:
                # Finding out takes a dozen requests, each time.
                self._unknown.add((api_version, kind))
                raise ClusterError(f"the cluster knows no {kind} of {api_version}", 404) from error

        return self._patiently(f"look up {kind}", find)

    def call(self, of: Mapping[str, Any], what: str, method: str, **arguments: Any) -> dict[str, Any]:
        """Have the library's ``method`` on the kind and namespace that ``of`` names; the answer's JSON."""
        resource = self.resource(of["apiVersion"], of["kind"])
        if resource.namespaced:
            space = (of.get("metadata") or {}).get("namespace") or self.namespace
            arguments.setdefault("namespace", space)

        def ask() -> Any:
            answer = getattr(resource, method)(serialize=False, _request_timeout=REQUEST_S, **arguments)
            return json.loads(answer.data)

        return self._patiently(what, ask)  # type: ignore[no-any-return]

    def _client(self) -> Any:
        if self._dynamic is None:
            from kubernetes.dynamic import DynamicClient

            self._dynamic = self._patiently("ask what it knows", lambda: DynamicClient(self._api, _NO_CACHE))
        return self._dynamic

    def _patiently(self, what: str, ask: Any) -> Any:
        """The answer, asked for again while what went wrong may pass."""
        from kubernetes.client.exceptions import ApiException
        from kubernetes.dynamic.exceptions import DynamicApiError
        from urllib3.exceptions import HTTPError

        began, pause = time.monotonic(), 0.2
        while True:
            try:
                return ask()
            except (ApiException, DynamicApiError) as error:
                status, reason = int(error.status or 0), _reason(error)
                wait = _retry_after(error)
            except (HTTPError, OSError) as error:
                status, reason, wait = 0, f"no answer: {_short(error)}", None
            passing = status == 0 or status in _PASSING
            waited = time.monotonic() - began
            # 500 is the API server's own fault, or that of what it was sent: it does not tell which.
            if not passing or waited > (min(_OWN_FAULT_S, self.patience_s) if status == 500 else self.patience_s):
                after = f" (asked for {waited:.0f} s)" if passing else ""
                raise ClusterError(f"could not {what}: {reason}{after}", status)
            if waited > 2 and self._say and time.monotonic() > self._told + _TELL_EVERY_S:
                self._told = time.monotonic()
                self._say(f"could not {what} yet: {reason}; asking again for up to {self.patience_s:.0f} s")
            time.sleep(wait if wait is not None else pause)
            pause = min(pause * 1.6, 3.0)


def _connect(context: str | None) -> tuple[Any, str | None]:
    """A client by kubeconfig, or inside a pod by its own token; and the context's namespace."""
    from kubernetes import client, config

    configuration = client.Configuration()
    # Else urllib3 asks again by itself, four times as long as a request may take, and sleeps through interrupts.
    configuration.retries = False
    try:
        api = config.new_client_from_config(context=context, client_configuration=configuration)
    except config.ConfigException as error:
        if context is not None:
            raise
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            raise error from None
        return _bounded(client.ApiClient(configuration)), None
    contexts, active = config.list_kube_config_contexts()
    found = active if context is None else next(one for one in contexts if one["name"] == context)
    return _bounded(api), found["context"].get("namespace")


def _bounded(api: Any) -> Any:
    """A client none of whose requests lasts for ever: looking up kinds has no limit of its own."""
    call = api.call_api

    def call_api(*words: Any, **named: Any) -> Any:
        return call(*words, **{**named, "_request_timeout": named.get("_request_timeout") or REQUEST_S})

    api.call_api = call_api
    return api


def _reason(error: Any) -> str:
    """What the API server said, in its own words."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        said = json.loads(error.body)
        if isinstance(said, dict) and said.get("message"):
            return str(said["message"])
    return f"{error.status} {error.reason}"


def _retry_after(error: Any) -> float | None:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return min(float(error.headers.get("Retry-After")), 10.0)
    return None


def _short(error: BaseException) -> str:
    """The innermost reason of a chain of wrapped errors, in one line."""
    reason = getattr(error, "reason", None)
    while isinstance(reason, BaseException) and getattr(reason, "reason", None):
        error, reason = reason, getattr(reason, "reason", None)
    return str(reason or error).splitlines()[0][:200]
