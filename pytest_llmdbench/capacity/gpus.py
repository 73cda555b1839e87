"""A GPU by name: its memory as the driver reports it, its speed, and what connects it to others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pytest_llmdbench.capacity.fields import Fields
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.errors import DeclarationError, nearest

SHIPPED: Final = Path(__file__).parents[1] / "data" / "gpus.yaml"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator. Memory in GiB, bandwidths in bytes/s, peaks in FLOP/s (dense); 0 where it cannot."""

    name: str
    names: tuple[str, ...]
    vendor: str
    #: NVIDIA's compute capability; 0 for other vendors.
    capability: float
    memory_gib: float
    bandwidth: float
    link: float
    nvlink: bool
    bf16: float
    fp16: float
    fp8: float
    fp4: float
    #: GPUs of one node.
    node: int
    notes: str = ""

    @property
    def product(self) -> str:
        """What the node label of a cluster calls it, where that is known."""
        return next((name for name in self.names if name.startswith(("NVIDIA-", "AMD-", "Tesla-"))), self.name)


def find_gpu(name: str) -> Gpu:
    """By the name of the table, of a node label, or what people say. Raises DeclarationError with the nearest."""
    found = gpus().get(name.casefold())
    if found is None:
        hint = nearest(name.casefold(), gpus())
        if not hint.startswith("did"):
            hint = nearest("", {one.name for one in known_gpus()})
        raise DeclarationError(f"GPU: '{name:.80}' is not known; {hint}")
    return found


def known_gpus() -> list[Gpu]:
    """All of the table, in its order."""
    return list(dict.fromkeys(gpus().values()))


@cache
def gpus() -> Mapping[str, Gpu]:
    """By all names, in small letters."""
    found: dict[str, Gpu] = {}
    for name, entry in load_yaml(SHIPPED).data.items():
        fields = Fields(entry, name)
        cc = fields.text("cc")
        gpu = Gpu(
            name=name,
            names=tuple(entry["names"]),
            vendor=fields.text("vendor"),
            capability=float(cc) if fields.text("vendor") == "nvidia" else 0.0,
            memory_gib=fields.number("vllm_total_gib"),
            bandwidth=fields.number("mem_bw_gbs") * 1e9,
            link=fields.number("interconnect_gbs") * 1e9,
            nvlink=fields.flag("nvlink"),
            bf16=fields.number("bf16_tflops") * 1e12,
            fp16=fields.number("fp16_tflops", fields.number("bf16_tflops")) * 1e12,
            fp8=fields.number("fp8_tflops") * 1e12,
            fp4=fields.number("fp4_tflops") * 1e12,
            node=fields.count("node", default=8, least=1),
            notes=fields.text("notes"),
        )
        found.update(dict.fromkeys((one.casefold() for one in (name, *gpu.names)), gpu))
    return found
