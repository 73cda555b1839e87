"""Helm releases that go with the run: installed and uninstalled by the ``helm`` program on the PATH."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.hide import hide_text
from pytest_llmdbench.stacks.kubernetes.names import OURS, Names
from pytest_llmdbench.stacks.kubernetes.rendered import Release
from pytest_llmdbench.stacks.kubernetes.sealed import is_folder, sealed, write_chart
from pytest_llmdbench.stacks.processes import end, start

#: The oldest that can label a release's Secret, and the first that nobody has tried.
_OLDEST, _BEYOND = (3, 13), (5, 0)
SUPPORTED: Final = "3.13 or later, or 4"
#: Seconds that one call may take; fetching a chart is part of it.
CALL_S: Final = 300.0
#: Helm takes these for options; those of the cluster are ours to give.
_NEUTRAL: Final = {
    "HELM_DRIVER": "secret",
    "HELM_NAMESPACE": "",
    "HELM_KUBECONTEXT": "",
    "HELM_KUBEAPISERVER": "",
    "HELM_KUBETOKEN": "",
    "HELM_DEBUG": "",
}


class Helm:
    """The program and its version. All methods raise StandupError with what helm said."""

    def __init__(self, program: str, version: str) -> None:
        self.program = program
        self.version = version

    @classmethod
    def find(cls) -> Helm:
        """The ``helm`` on the PATH. Raises StandupError if there is none, or one that is not supported."""
        program = shutil.which("helm")
        if program is None:
            raise StandupError(
                f"deploy: modelservice takes the helm program, {SUPPORTED}, and there is none on the PATH: install it "
                "from https://helm.sh/docs/intro/install, or use deploy: standalone, which needs no charts"
            )
        said = _run([program, "version", "--short"], "helm version", 30.0).strip()
        found = re.match(r"v?(\d+)\.(\d+)", said)
        if found is None or not _OLDEST <= (int(found[1]), int(found[2])) < _BEYOND:
            raise StandupError(f"{program} is helm {said or 'of no known version'}; supported is {SUPPORTED}")
        return cls(program, said)

    def template(self, release: Release, names: Names, kubernetes: str | None = None) -> list[dict[str, Any]]:
        """The objects of a release as :meth:`install` installs them. Needs no cluster; the chart may need a network.

        ``kubernetes`` is the version of the cluster that the chart is rendered for; by default helm's own idea.
        """
        with tempfile.TemporaryDirectory(prefix="llmdbench-helm-") as folder:
            values = Path(folder) / "values.json"
            values.write_text(_json(release.values), encoding="utf-8")
            command = [self.program, "template", release.name, *_chart(release), "--namespace", names.namespace]
            command += ["--values", str(values), *(["--kube-version", kubernetes] if kubernetes else [])]
            return sealed(_run(command, f"helm template {release.name}", CALL_S), names, release.name)

    def install(self, release: Release, names: Names, cluster: Cluster, say: Say | None = None) -> None:
        """Install a release; does not wait for its pods. Its Secret and all it makes carry our labels and owner."""
        objects = self.template(release, names, cluster.version())
        if say is not None:
            say(f"installing {release.name} ({release.chart.chart}) with helm {self.version}")
        labels = ",".join(f"{key}={value}" for key, value in names.labels.items())
        with tempfile.TemporaryDirectory(prefix="llmdbench-helm-") as folder:
            values, chart = Path(folder) / "values.json", Path(folder) / "chart"
            values.write_text(_json(release.values), encoding="utf-8")
            write_chart(chart, release.chart, objects)
            command = [self.program, "install", release.name, str(chart), "--values", str(values), "--labels", labels]
            with _Adoption(cluster, names, release.name):
                _run([*command, *_place(names, cluster)], f"helm install {release.name}", CALL_S)
        # Helm puts its own name in place of ours, by which everything of ours is found.
        for one in objects:
            cluster.patch(one["apiVersion"], one["kind"], one["metadata"]["name"], {"metadata": {"labels": OURS}})

    def uninstall(self, release: Release, names: Names, cluster: Cluster) -> None:
        """Delete a release and all it made, in the background; one that is not there is no error."""
        command = [self.program, "uninstall", release.name, "--ignore-not-found", *_place(names, cluster)]
        _run(command, f"helm uninstall {release.name}", CALL_S)


class _Adoption:
    """Gives a release's Secret its owner as soon as it is there, and again each time helm has replaced it.

    The Secret is helm's to write, and it keeps labels only. So for the moments between helm's writing and ours it has
    no owner; its labels tell whose it is.
    """

    def __init__(self, cluster: Cluster, names: Names, release: str) -> None:
        self._cluster, self._names = cluster, names
        self._labels = {"owner": "helm", "name": release}
        self._over = threading.Event()

    def __enter__(self) -> None:
        if self._names.owner is not None:
            threading.Thread(target=self._watch, name=f"adopt-{self._labels['name']}", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._names.owner is not None:
            self._adopt(self._cluster.objects("v1", "Secret", self._labels))

    def _watch(self) -> None:
        try:
            for secrets in self._cluster.watch("v1", "Secret", self._labels, CALL_S):
                if self._over.is_set():
                    return
                self._adopt(secrets)
        except ClusterError:
            return  # when helm is done it is looked at once more, and then an error is raised

    def _adopt(self, secrets: Sequence[Mapping[str, Any]]) -> None:
        owner = dict(self._names.owner or {})
        for one in secrets:
            if not one["metadata"].get("ownerReferences"):
                self._cluster.patch("v1", "Secret", one["metadata"]["name"], {"metadata": {"ownerReferences": [owner]}})


def _chart(release: Release) -> list[str]:
    chart = release.chart
    where = [str(Path(chart.chart).expanduser())] if is_folder(chart) else [chart.chart]
    where += ["--repo", chart.repository] if chart.repository else []
    return where + (["--version", chart.version] if chart.version else [])


def _place(names: Names, cluster: Cluster) -> list[str]:
    context = ["--kube-context", cluster.context] if cluster.context else []
    return ["--namespace", names.namespace, *context, "--timeout", f"{CALL_S:.0f}s"]


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, default=_plain)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _run(command: Sequence[str], what: str, seconds: float) -> str:
    """What a command wrote. It carries the run's mark, so that it ends with the run."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = start(command, env=_NEUTRAL, stdout=out, stderr=err)
        except OSError as error:
            raise StandupError(f"{what}: could not start {command[0]}: {error}") from error
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise StandupError(f"{what}: not done after {seconds:.0f} s{_end_of(err)}") from None
        finally:
            end(process)
        if status != 0:
            raise StandupError(f"{what} failed with exit code {status}{_end_of(err)}")
        out.seek(0)
        return out.read().decode("utf-8", errors="replace")


def _end_of(log: Any) -> str:
    """The last lines that helm wrote, to go into a message: without what looks like a secret, as values may be."""
    log.seek(0)
    lines = hide_text(log.read().decode("utf-8", errors="replace")).strip().splitlines()
    return "".join(f"\n    {line}" for line in lines[-10:])
