"""Every manifest and value file of a stack as text, without a cluster: what a dry run prints and writes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes import anchor_job, load_manifest
from pytest_llmdbench.stacks.kubernetes.anchor_job import Bounds, Image
from pytest_llmdbench.stacks.kubernetes.load_inputs import COMMAND, Inputs
from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite
from pytest_llmdbench.stacks.kubernetes.names import Names, slug
from pytest_llmdbench.stacks.kubernetes.ways import WAYS, render

#: Stands for the run's id, which only a run has; and so two renderings of one scenario are the same, byte for byte.
DRY_RUN: Final = "dryrun"
#: Stands for the image of the load where the scenario names none yet.
_NO_IMAGE: Final = "(load.image)"
#: Stands for the inputs of the load, which are another ConfigMap for each test.
_INPUTS: Final = Inputs(items=({"key": COMMAND, "path": f"0/{COMMAND}"},))


def files(key: str, scenario: Scenario) -> Iterator[tuple[str, str]]:
    """(name, text) of every file that a stack and its load are made from, in that order; none for other ways.

    Raises DeclarationError for a scenario that cannot be rendered.
    """
    if scenario.deploy not in WAYS:
        return
    names = Names(DRY_RUN, slug(key), scenario.cluster.namespace or "default")
    rendered = render(scenario, names)
    image = Image(scenario.load.image or _NO_IMAGE, scenario.load.pull_policy, scenario.cluster.image_pull_secrets)
    bounds = Bounds(scenario.timeouts.lease_s, scenario.timeouts.run_s)
    manifests = [
        anchor_job.job(DRY_RUN, names.namespace, image, bounds),
        *rendered.kept,
        *rendered.first,
        *rendered.manifests,
        *rendered.optional,
    ]
    for number, manifest in enumerate(manifests, 1):
        yield f"{number:02}-{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml", _yaml(manifest)
    for number, release in enumerate(rendered.releases, len(manifests) + 1):
        chart = release.chart
        told = f"# helm install {release.name} {chart.chart}"
        told += f" --repo {chart.repository}" if chart.repository else ""
        told += f" --version {chart.version}" if chart.version else ""
        yield f"{number:02}-values-{release.name}.yaml", f"{told}\n{_yaml(release.values)}"
    load = _load(scenario, names)
    number = len(manifests) + len(rendered.releases) + 1
    yield f"{number:02}-job-{load['metadata']['name']}.yaml", _yaml(load)


def write(folder: Path, key: str, scenario: Scenario) -> list[Path]:
    """Write them into ``folder/<stack>``; the paths. Raises OSError."""
    written = []
    for name, text in files(key, scenario):
        path = folder / slug(key) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _load(scenario: Scenario, names: Names) -> dict[str, Any]:
    """The Job of a load beside the stack; its inputs, and its time where the test decides, are placeholders."""
    load = scenario.load.model_copy(update={"image": scenario.load.image or _NO_IMAGE})
    site = LoadSite.of(scenario.model_copy(update={"load": load}), None, names)
    seconds = scenario.timeouts.load_s or scenario.timeouts.run_s
    return load_manifest.job(site, "load", _INPUTS, load.parallelism, seconds)


class _Plain(yaml.SafeDumper):
    """For people to read: what is said twice is written out twice, and a text of several lines as such."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)


def _yaml(tree: Any) -> str:
    text: str = yaml.dump(_data(tree), Dumper=_Plain, sort_keys=False, width=120)
    return text


def _data(value: Any) -> Any:
    """Mappings and sequences of any kind as the plain ones that YAML writes."""
    if hasattr(value, "items"):
        return {str(key): _data(one) for key, one in value.items()}
    return [_data(one) for one in value] if isinstance(value, list | tuple) else value
