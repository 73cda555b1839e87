"""The claim that holds models, and the Job that fills it. Pure."""

from __future__ import annotations

from typing import Any, Final

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes.names import KEPT, OURS, Names
from pytest_llmdbench.stacks.kubernetes.podspec import MODELS, model_path

#: Written last: a folder without it is taken as half filled, and filled on.
COMPLETE: Final = ".llmdbench-complete"
#: Runs in the engine's image, which has the hub's library. The model and its folder are arguments, never part of it.
_DOWNLOAD: Final = f"""
import pathlib, sys
model, folder = sys.argv[1], pathlib.Path(sys.argv[2])
done = folder / "{COMPLETE}"
if done.exists():
    print(model, "is there already")
else:
    from huggingface_hub import snapshot_download
    snapshot_download(model, local_dir=folder)
    done.write_text(model)
    print(model, "downloaded")
"""


def claim(scenario: Scenario, names: Names) -> list[dict[str, Any]]:
    """The claim, where the scenario has one. It is nobody's: models stay for the next run."""
    storage = scenario.storage
    if storage.pvc is None:
        return []
    spec: dict[str, Any] = {
        "accessModes": [storage.access_mode],
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.storage_class is not None:
        spec["storageClassName"] = storage.storage_class
    metadata = {"name": storage.pvc, "namespace": names.namespace, "labels": {**OURS, KEPT: "models"}}
    return [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}]


def download(scenario: Scenario, names: Names) -> list[dict[str, Any]]:
    """The Job that puts the model into the claim unless it is there."""
    storage, hub = scenario.storage, scenario.huggingface
    if storage.pvc is None or not storage.download:
        return []
    token = {"secretKeyRef": {"name": hub.secret, "key": hub.key, "optional": not hub.required}}
    container = {
        "name": "download",
        "image": scenario.engine.image,
        "imagePullPolicy": scenario.engine.pull_policy,
        "command": ["python3", "-c", _DOWNLOAD, scenario.model.name, f"{MODELS}/{model_path(scenario)}"],
        "env": [{"name": "HF_TOKEN", "valueFrom": token}, {"name": "HF_HOME", "value": f"{MODELS}/.hub"}],
        "volumeMounts": [{"name": "models", "mountPath": MODELS}],
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "8Gi"}},
    }
    pod = {
        "metadata": {"labels": {**names.labels, **names.selector("download")}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "imagePullSecrets": [{"name": name} for name in scenario.cluster.image_pull_secrets],
            "containers": [container],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": storage.pvc}}],
        },
    }
    spec = {"backoffLimit": 2, "template": pod}
    return [{"apiVersion": "batch/v1", "kind": "Job", "metadata": names.metadata("download"), "spec": spec}]
