"""A cluster, spoken to in plain dicts. Imported where it is used."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytest_llmdbench.stacks.kubernetes.connection import REQUEST_S, ClusterError, Connection
from pytest_llmdbench.stacks.kubernetes.names import MANAGER

__all__ = ["Cluster", "ClusterError"]

#: Seconds at least from one list to the next where watches end early.
_LIST_EVERY_S: Final = 1.0


class Cluster(Connection):
    """One cluster and namespace. Every method raises ClusterError."""

    # -- objects ---------------------------------------------------------------------------------------------------

    def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create or change an object, server-side; returns it as the cluster has it."""
        name = manifest["metadata"]["name"]
        return self.call(
            manifest, f"apply {manifest['kind']} {name}", "server_side_apply", body=dict(manifest), name=name,
            field_manager=MANAGER, force_conflicts=True,
        )  # fmt: skip

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object; one that exists is an error (status 409)."""
        what = f"create {manifest['kind']} {manifest['metadata'].get('name', '')}".strip()
        return self.call(manifest, what, "create", body=dict(manifest))

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """One object; None where there is none."""
        try:
            return self.call(_of(api_version, kind, namespace), f"read {kind} {name}", "get", name=name)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def exists(self, api_version: str, kind: str, name: str) -> bool:
        """Whether there is such an object; asks for its metadata alone, so a Secret's content never comes here."""
        path = self.resource(api_version, kind).path(name=name, namespace=self.namespace)
        kept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        try:
            self.request("GET", path, f"look for {kind} {name}", accept=kept)
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    def objects(
        self, api_version: str, kind: str, labels: Mapping[str, str] | None = None, *, everywhere: bool = False,
        field: str | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """All objects of a kind with these labels, in the namespace or in all of them."""
        return self._list(api_version, kind, labels, everywhere, field)["items"]  # type: ignore[no-any-return]

    def patch(self, api_version: str, kind: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change an object (a JSON merge patch)."""
        return self.call(
            _of(api_version, kind), f"change {kind} {name}", "patch", name=name, body=dict(body),
            content_type="application/merge-patch+json",
        )  # fmt: skip

    def delete(self, api_version: str, kind: str, name: str, *, at_once: bool = False) -> bool:
        """Delete an object and what it owns, in the background; whether it was there.

        ``at_once``: a pod's name is gone before its node has cleaned up after it.
        """
        how: dict[str, Any] = {"propagationPolicy": "Background", **({"gracePeriodSeconds": 0} if at_once else {})}
        try:
            self.call(
                _of(api_version, kind), f"delete {kind} {name}", "delete", name=name,
                body=how,
            )  # fmt: skip
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    def watch(
        self, api_version: str, kind: str, labels: Mapping[str, str] | None, seconds: float
    ) -> Iterator[list[dict[str, Any]]]:
        """All objects with these labels, now and after each change, for so many seconds at most.

        Also gives the same list again every second or so without a change, so that whoever waits can look at the clock.
        A watch that is dropped, or told that its version is gone (410), begins again with a list.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            listed = self._list(api_version, kind, labels, False, None)
            known = {one["metadata"]["uid"]: one for one in listed["items"]}
            yield list(known.values())
            version = listed["metadata"]["resourceVersion"]
            began = time.monotonic()
            yield from self._changes(api_version, kind, labels, known, version, min(left, 240.0))
            # A watch that is refused or dropped at once, again and again, must not become a storm of lists.
            time.sleep(max(0.0, min(began + _LIST_EVERY_S, deadline) - time.monotonic()))

    def _changes(
        self, api_version: str, kind: str, labels: Mapping[str, str] | None, known: dict[str, dict[str, Any]],
        version: str, seconds: float,
    ) -> Iterator[list[dict[str, Any]]]:  # fmt: skip
        """The list after each change, until the watch ends for whatever reason."""
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                answer = self.resource(api_version, kind).get(
                    namespace=self.namespace, label_selector=_selector(labels), watch=True, resource_version=version,
                    timeout_seconds=max(1, int(left)), serialize=False, _request_timeout=(REQUEST_S, 1.0),
                )  # fmt: skip
            except Exception:  # whatever it is, listing again tells, and raises what does not pass
                return
            try:
                for line in _lines(answer):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    thing = event["object"]
                    version = thing["metadata"]["resourceVersion"]
                    known[thing["metadata"]["uid"]] = thing
                    if event["type"] == "DELETED":
                        del known[thing["metadata"]["uid"]]
                    yield list(known.values())
                return  # noqa: TRY300 - the watch ended by itself
            except ReadTimeoutError:
                # Nothing new within a second: say so, and watch on from where we are.
                yield list(known.values())
            except (HTTPError, OSError, ValueError, KeyError):
                return
            finally:
                answer.close()

    # -- rights and kinds ------------------------------------------------------------------------------------------

    def knows(self, api_version: str, kind: str) -> bool:
        """Whether the cluster has this kind (a CRD may be missing)."""
        try:
            self.resource(api_version, kind)
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    def plural(self, api_version: str, kind: str) -> str:
        """What rights call a kind: ``deployments``."""
        return str(self.resource(api_version, kind).name)

    def version(self) -> str:
        """Of the API server, as in ``v1.33.1``."""
        return str(self.raw("GET", "/version")["gitVersion"])

    def may(self, verb: str, group: str, resource: str) -> bool:
        """Whether we may do this, as the cluster itself says. ``resource`` is plural, with ``/subresource``."""
        plain, _, sub = resource.partition("/")
        asked: dict[str, Any] = {"verb": verb, "group": group, "resource": plain, "namespace": self.namespace}
        asked |= {"subresource": sub} if sub else {}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = self.raw("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    def raw(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the API server, past everything; the answer's JSON."""
        return json.loads(self.request(method, path, f"{method} {path}", body))

    # -- pods ------------------------------------------------------------------------------------------------------

    def logs(self, pod: str, container: str, *, previous: bool = False, tail: int | None = None) -> str:
        """What a container wrote; of its last incarnation if ``previous``."""
        query = f"container={container}" + ("&previous=true" if previous else "")
        query += f"&tailLines={tail}" if tail else ""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log?{query}"
        said = self.request("GET", path, f"read the log of {pod}/{container}", accept="*/*")
        return said.decode("utf-8", errors="replace")

    def _list(
        self, api_version: str, kind: str, labels: Mapping[str, str] | None, everywhere: bool, field: str | None
    ) -> dict[str, Any]:
        space = {"namespace": None} if everywhere else {}
        listed = self.call(
            _of(api_version, kind), f"list {kind}s", "get", label_selector=_selector(labels), field_selector=field,
            **space,
        )  # fmt: skip
        for one in listed["items"]:  # lists leave out what all their items have in common
            one.setdefault("apiVersion", api_version)
            one.setdefault("kind", kind)
        return listed


def _of(api_version: str, kind: str, namespace: str | None = None) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace}}


def _selector(labels: Mapping[str, str] | None) -> str | None:
    return ",".join(f"{key}={value}" for key, value in labels.items()) if labels else None


def _lines(answer: Any) -> Iterator[str]:
    """The lines of a streamed answer as they come."""
    rest = b""
    for part in answer.stream(amt=None, decode_content=False):
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode() for line in lines if line.strip())
