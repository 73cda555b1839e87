"""What a load becomes in a cluster: its Job, its ConfigMap, and the site it travels as."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes_validate import validate

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import HarnessError, StandupError
from pytest_llmdbench.harnesses.harness import Command
from pytest_llmdbench.stacks.kubernetes.load_inputs import Inputs, inputs
from pytest_llmdbench.stacks.kubernetes.load_manifest import job, selector
from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite
from pytest_llmdbench.stacks.kubernetes.names import Names

OWNER = {"apiVersion": "batch/v1", "kind": "Job", "name": "llmdbench-x7k2m9", "uid": "1-2-3"}


class NoCluster:
    """As much of a cluster as a site needs."""

    context = "somewhere"


def site(**load: Any) -> LoadSite:
    data = {
        "huggingface": {"secret": "my-token", "key": "token"},
        "cluster": {"image_pull_secrets": ["pull"]},
        "load": {"image": "registry/load:1", **load},
    }
    names = Names("x7k2m9", "h100", "bench", OWNER)
    return LoadSite.of(Scenario.model_validate(data), NoCluster(), names)  # type: ignore[arg-type]


def command(folder: Path, **files: Path) -> Command:
    (folder / "config.yaml").write_text("rate: 5\n", encoding="utf-8")
    reads = {"config.yaml": folder / "config.yaml", **files}
    return Command(["program", "--file", "a b; $(c)"], folder, {"X": "y z"}, reads)


def rendered(folder: Path, pods: int = 2, **load: Any) -> dict[str, Any]:
    return job(site(**load), "load-abc", inputs([command(folder)] * pods), pods, 300.0)


def containers(manifest: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one for one in manifest["spec"]["template"]["spec"]["containers"]}


def test_a_site_comes_back_from_json_as_it_was() -> None:
    one = site(cpu="1500m", node_selector={"pool": "load"}, tolerations=[{"key": "load", "operator": "Exists"}])
    assert LoadSite.from_json(json.loads(json.dumps(one.to_json()))) == one


@pytest.mark.parametrize(("cpu", "processors"), [("4", 4), ("1500m", 1), ("200m", 1), ("2.5", 2)])
def test_a_pod_runs_as_many_workers_as_it_has_whole_processors(cpu: str, processors: int) -> None:
    assert site(cpu=cpu).processors == processors


def test_a_load_in_a_cluster_without_an_image_says_how_to_get_one() -> None:
    with pytest.raises(StandupError, match=r"load\.image is not set.*image-build"):
        site(image=None)


@pytest.mark.parametrize("load", [{}, {"results_pvc": "long-runs", "node_selector": {"pool": "load"}}])
def test_the_manifests_are_valid(tmp_path: Path, load: dict[str, Any]) -> None:
    validate(rendered(tmp_path, **load), "1.33", strict=True)
    given = inputs([command(tmp_path)]).manifest(site().names.metadata("load-abc"))
    validate(given, "1.33", strict=True)


def test_job_and_inputs_hang_on_the_runs_anchor(tmp_path: Path) -> None:
    given = inputs([command(tmp_path)]).manifest(site().names.metadata("load-abc"))
    for manifest in (rendered(tmp_path), given):
        assert manifest["metadata"]["ownerReferences"] == [OWNER]
        assert manifest["metadata"]["name"] == "h100-x7k2m9-load-abc"


def test_all_pods_run_at_once_and_none_is_tried_again(tmp_path: Path) -> None:
    spec = rendered(tmp_path, pods=3)["spec"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (3, 3, 0)
    assert spec["activeDeadlineSeconds"] == 300
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    labels = spec["template"]["metadata"]["labels"]
    assert selector(site(), "load-abc").items() <= labels.items()


def test_the_token_of_gated_tokenizers_is_named_and_never_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    manifest = rendered(tmp_path)
    reference = {"secretKeyRef": {"name": "my-token", "key": "token", "optional": True}}
    assert {"name": "HF_TOKEN", "valueFrom": reference} in containers(manifest)["load"]["env"]
    assert "HF_TOKEN" not in json.dumps(containers(manifest)["collector"])
    assert "hf_planted" not in json.dumps([manifest, inputs([command(tmp_path)]).data])


def test_pods_get_what_the_scenario_gives_loads(tmp_path: Path) -> None:
    manifest = rendered(tmp_path, cpu="3", memory="5Gi", node_selector={"a": "b"}, tolerations=[{"operator": "Exists"}])
    pod = manifest["spec"]["template"]["spec"]
    amounts = {"cpu": "3", "memory": "5Gi"}
    assert containers(manifest)["load"]["resources"] == {"requests": amounts, "limits": {"memory": "5Gi"}}
    assert pod["nodeSelector"] == {"a": "b"}
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


def test_a_claim_for_results_is_mounted_where_the_load_can_write(tmp_path: Path) -> None:
    manifest = rendered(tmp_path, results_pvc="long-runs")
    claim = {"name": "results", "persistentVolumeClaim": {"claimName": "long-runs"}}
    assert claim in manifest["spec"]["template"]["spec"]["volumes"]
    assert "/results/h100-x7k2m9/load-abc" in containers(manifest)["load"]["command"]


def test_what_a_program_is_given_never_gets_into_a_script(tmp_path: Path) -> None:
    load = containers(rendered(tmp_path))["load"]
    assert "$(c)" not in json.dumps(load)
    (told,) = (text for text in inputs([command(tmp_path)]).data.values() if "argv" in text)
    assert json.loads(told) == {"argv": ["program", "--file", "a b; $(c)"], "env": {"X": "y z"}}


def test_files_that_all_pods_share_are_there_once(tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer"
    (tokenizer / "deep").mkdir(parents=True)
    (tokenizer / "vocab.json").write_text("{}", encoding="utf-8")
    (tokenizer / "deep" / "model.bin").write_bytes(b"\xff\x00\xfe")
    given = inputs([command(tmp_path, tok=tokenizer), command(tmp_path, tok=tokenizer)])
    assert (
        len(given.data) + len(given.binary) == 4
    )  # two commands that are alike, a configuration, two files: each once
    assert {one["path"] for one in given.items} == {
        f"{index}/{name}"
        for index in (0, 1)
        for name in ("command.json", "config.yaml", "tok/vocab.json", "tok/deep/model.bin")
    }
    assert [base64.b64decode(one) for one in given.binary.values()] == [b"\xff\x00\xfe"]
    assert {one["key"] for one in given.items} == given.data.keys() | given.binary.keys()


def test_inputs_that_no_configmap_holds_name_the_way_out(tmp_path: Path) -> None:
    large = tmp_path / "tokenizer.json"
    with large.open("wb") as file:
        file.truncate(40_000_000)
    with pytest.raises(HarnessError, match=r"tokenizer\.json.*model\.tokenizer by name.*load\.image"):
        inputs([command(tmp_path, large=large)])


def test_an_input_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"absent\.jsonl, which the load reads"):
        inputs([command(tmp_path, data=tmp_path / "absent.jsonl")])


def test_a_pod_that_is_held_for_people_starts_nothing(tmp_path: Path) -> None:
    manifest = job(site(), "load-abc", Inputs(), 1, 60.0, hold=True)
    validate(manifest, "1.33", strict=True)
    assert "command.json" not in containers(manifest)["load"]["command"]
