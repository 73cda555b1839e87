"""The modelservice scenarios that come with the plugin, through the real llm-d charts; see test_modelservice_charts."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_llmdbench.declared.router import Charts
from pytest_llmdbench.stacks.kubernetes.helm import Helm
from pytest_llmdbench.stacks.kubernetes.podspec import flags_of
from pytest_llmdbench.stacks.kubernetes.rendered import Rendered
from pytest_llmdbench.stacks.kubernetes.ways import render
from tests.kubernetes.chart_folders import FOLDERS
from tests.kubernetes.test_modelservice_charts import over, pod_templates
from tests.kubernetes.test_scenarios import VERSION, manifests, mappings, names, routed, scenario, validate

pytestmark = pytest.mark.charts


@pytest.fixture(scope="module")
def installed(charts: Path) -> Any:
    """(rendered, release -> objects) of a scenario as helm would install it, from charts on this machine."""

    @functools.cache
    def made(name: str) -> tuple[Rendered, dict[str, list[dict[str, Any]]]]:
        said = scenario(name)
        local = {
            part: {"chart": str(charts / folder), "values": getattr(said.charts, part).values}
            for part, folder in FOLDERS.items()
        }
        stack = render(said.model_copy(update={"charts": Charts.model_validate(local)}), names(name))
        helm = Helm.find()
        return stack, {one.name: helm.template(one, names(name), f"v{VERSION}.0") for one in stack.releases}

    return made


@routed
def test_values_are_valid_against_each_charts_own_schema(name: str, installed: Any) -> None:
    import jsonschema

    for release in installed(name)[0].releases:
        schema = Path(release.chart.chart) / "values.schema.json"
        if schema.is_file():
            own = yaml.safe_load((schema.parent / "values.yaml").read_text())
            told = json.loads(json.dumps(over(own, release.values), default=dict))
            jsonschema.validate(told, json.loads(schema.read_text()))


@routed
def test_what_helm_makes_of_a_scenario_is_valid_kubernetes(name: str, installed: Any) -> None:
    made, objects = installed(name)
    everything = [*manifests(made), *(one for release in objects.values() for one in release)]
    for one in everything:
        validate(one)
    found = [(one["apiVersion"].partition("/")[0], one["kind"], one["metadata"]["name"]) for one in everything]
    assert len(set(found)) == len(found)
    # Names of ConfigMaps become nobody's label or host name.
    assert all(len(one) <= 63 for _, kind, one in found if kind != "ConfigMap")


@routed
def test_the_pods_that_are_waited_for_are_the_pods_that_are_made(name: str, installed: Any) -> None:
    made, objects = installed(name)
    templates = pod_templates(objects)
    for role in made.expected:
        (template,) = [one for one in templates.values() if role.selector.items() <= one["metadata"]["labels"].items()]
        container = next(one for one in template["spec"]["containers"] if one["name"] == role.container)
        told = flags_of([*container.get("command", ()), *container.get("args", ())])
        assert role.flags.items() <= told.items()
        resource = scenario(name).accelerator.resource
        asked = container.get("resources", {}).get("limits", {}).get(resource, 0)
        assert int(asked) == role.gpus


@routed
def test_the_picker_is_started_with_the_plugins_of_the_scenario(name: str, installed: Any) -> None:
    made, objects = installed(name)
    pickers = [one for one in made.expected if one.container == "epp"]
    assert pickers
    for role in pickers:
        (template,) = [
            one for one in pod_templates(objects).values() if role.selector.items() <= one["metadata"]["labels"].items()
        ]
        container = next(one for one in template["spec"]["containers"] if one["name"] == "epp")
        folder = next(one for one in container["volumeMounts"] if one["name"] == "plugins-config-volume")["mountPath"]
        volume = next(one for one in template["spec"]["volumes"] if one["name"] == "plugins-config-volume")
        held = next(
            one
            for release in objects.values()
            for one in release
            if one["kind"] == "ConfigMap" and one["metadata"]["name"] == volume["configMap"]["name"]
        )
        words = container["args"]
        path = Path(words[words.index("--config-file") + 1])
        assert str(path.parent) == folder
        config = yaml.safe_load(held["data"][path.name])
        wanted = scenario(name).router.picker.plugins
        assert wanted is None or {key: config[key] for key in wanted} == json.loads(json.dumps(wanted, default=dict))


@routed
def test_no_pod_that_helm_makes_holds_a_token(name: str, installed: Any) -> None:
    for template in pod_templates(installed(name)[1]).values():
        for one in mappings(template["spec"]):
            if "TOKEN" in str(one.get("name")):
                assert "secretKeyRef" in one["valueFrom"]
