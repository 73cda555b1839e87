"""Which GPU an engine is on where its scenario does not name it: by the labels of its node, or by its own log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_llmdbench.declared.cluster import Accelerator

#: Node labels that name a GPU, beside the scenario's own: of NVIDIA's and AMD's labellers, of GKE and of CoreWeave.
LABELS: Final = (
    "nvidia.com/gpu.product", "amd.com/gpu.product-name", "cloud.google.com/gke-accelerator", "gpu.nvidia.com/class",
)  # fmt: skip
#: Resources that are a whole GPU of the node's product; of slices and shares (``nvidia.com/mig-1g.10gb``) no label
#: of the node tells the memory.
WHOLE: Final = ("nvidia.com/gpu", "amd.com/gpu")
#: Of kernels for experts and of FP8 in blocks vLLM says the file that it looked for, which is named for the device, as
#: in ``E=128,N=384,device_name=NVIDIA_H100_80GB_HBM3,dtype=fp8_w8a8.json``.
_DEVICE: Final = re.compile(r"\bdevice_name=([A-Za-z0-9_.()+-]{1,100}?)(?:,|\.json)")


@dataclass(frozen=True, slots=True)
class Product:
    """A GPU that no scenario names, as people who label nodes call it; ``source`` completes 'it is known ...'."""

    name: str
    source: str


def is_unnamed(accelerator: Accelerator) -> bool:
    """Whether the scenario asks for whole GPUs and does not say which."""
    return accelerator.product is None and accelerator.resource in WHOLE


def product_of_node(labels: Mapping[str, str], accelerator: Accelerator, whose: str) -> Product | None:
    """What the labels of a node call its GPUs; None where they have no word of them. ``whose`` are these nodes?"""
    for label in dict.fromkeys((accelerator.label, *LABELS)):
        if name := labels.get(label):
            return Product(name, f"by the label {label} of {whose}")
    return None


def product_of_log(path: Path) -> Product | None:
    """What the log of an engine calls the GPU that it is on; None where it does not, or cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            found = next((match[1] for line in lines if (match := _DEVICE.search(line))), None)
    except OSError:
        return None
    # Blanks are underscores here, and dashes in labels.
    return Product(found.replace("_", "-"), "by its own log") if found else None
