"""What the files of a checkpoint hold: bits of its weights where its config.json does not tell them, and their size.

The format of safetensors (https://huggingface.co/docs/safetensors): 8 bytes with the length of a header in JSON, which
has type, shape and place of each tensor; beside several files there is an index with the size of all of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.parameters import parameters
from pytest_llmdbench.capacity.quantization import Quantization

#: The index of a checkpoint of several files.
INDEX: Final = "model.safetensors.index.json"
#: Headers and indexes of the largest models have some ten million bytes.
MOST_BYTES: Final = 64 * 2**20
_MOST_FILES: Final = 2000
#: What is no matrix of a layer of the text.
_OTHER: Final = re.compile(r"norm|router|\.gate\.|visual|vision|audio")
#: What is never loaded: layers that guess ahead, and what speaks.
_LEFT: Final = re.compile(r"(?:^|\.)mtp\.|^talker\.|^token2wav\.|rotary_emb|inv_freq")
_LAYER: Final = re.compile(r"(?:^|\.)layers\.(\d{1,6})\.")
_EXPERT: Final = re.compile(r"\.experts\.")
#: Weights of fewer bits than these are quantized, and none has more.
_PLAIN: Final = 15.5
_MOST_BITS: Final = 17.0
#: Files and formulas that differ by less agree: scales and zeros are stored in other ways than they are held.
_AGREE: Final = 0.03
#: Beyond these the files are those of another model.
_LEAST: Final = 0.5
_MOST: Final = 3.0


@dataclass(frozen=True, slots=True)
class _Stored:
    """Bytes of the matrices of layers, of experts, and of all that is loaded; whether any has FP8."""

    linear: float
    experts: float
    everything: float
    fp8: bool


def quantization_of_files(folder: Path, model: Model) -> Quantization | None:
    """From the headers of ``*.safetensors`` in a folder, else from their index; None where neither is of this model."""
    stored = _headers(folder, model)
    if stored:
        count, layers, moe = parameters(model), model.layers, model.expert_layers
        dense = layers * (count.attention + count.replicated) + model.dense_layers * count.dense + moe * count.shared
        experts = moe * count.experts
        return _found(8 * stored.linear / dense, 8 * stored.experts / experts if experts else None, fp8=stored.fp8)
    return quantization_of_index(_json(folder / INDEX), model)


def share_of_files(folder: Path, model: Model) -> float:
    """What the files of a folder hold, as a share of what is counted of the model; 1 where both agree.

    A folder that has not all of its files, or those of another model, tells nothing, which is 1 as well.
    """
    stored = _headers(folder, model)
    share = stored.everything / _counted(model) if stored else 1.0
    return share if abs(share - 1) > _AGREE and _LEAST <= share <= _MOST else 1.0


def _counted(model: Model) -> float:
    """Bytes of all weights, not split and not padded."""
    count, how, moe = parameters(model), model.quantization, model.expert_layers
    sized = (
        (model.layers * (count.attention + count.replicated), how.mixer_bits),
        (model.dense_layers * count.dense + moe * count.shared, how.linear_bits),
        (moe * count.experts, how.expert_bits),
        (0 if model.tied else count.head, how.head_bits),
        (model.layers * count.norms + moe * count.router + count.vision + count.embedding, None),
    )
    return sum(elements * (16 if bits is None else bits) / 8 for elements, bits in sized)


def quantization_of_index(index: Mapping[str, Any] | None, model: Model) -> Quantization | None:
    """The mean over all matrices, from the size of all files together; None where it cannot be that of this model."""
    metadata, names = (index or {}).get("metadata"), (index or {}).get("weight_map")
    size = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < math.inf:
        return None
    count = parameters(model)
    plain = model.layers * count.norms + model.expert_layers * count.router + count.vision
    plain += count.embedding + (0 if model.tied else count.head)
    # Layers that guess ahead are like the others, and are not loaded.
    listed = names if isinstance(names, Mapping) else ()
    numbers = {int(found[1]) for name in listed if (found := _LAYER.search(name))}
    more = sum(one >= model.layers for one in numbers)
    matrices = count.total(model) - plain
    bits = 8 * (size - 2 * plain) / (matrices * (1 + more / model.layers))
    return _found(bits, bits if model.experts else None, fp8=False)


def _found(linear: float, experts: float | None, *, fp8: bool) -> Quantization | None:
    """A quantization of these bits; None where they cannot be of this model."""
    both = [linear] if experts is None else [linear, experts]
    if not all(1 <= one <= _MOST_BITS for one in both):
        return None
    small = [None if one > _PLAIN else one for one in both]
    return Quantization("mixed", small[0], small[-1], "fp8" if fp8 else "native")


def _headers(folder: Path, model: Model) -> _Stored | None:
    """What all files of a checkpoint hold; None where there are none, or one cannot be read."""
    files = _files(folder)
    if not files or len(files) > _MOST_FILES:
        return None
    linear = experts = everything = 0.0
    fp8 = False
    for file in files:
        header = _json(file, header=True)
        if header is None:
            return None
        for name, kind, size in _tensors(header):
            layer = _LAYER.search(name)
            again = model.tied and name.endswith("lm_head.weight")
            if again or _LEFT.search(name) or (layer and int(layer[1]) >= model.layers and not _OTHER.search(name)):
                continue
            everything += size
            if layer is None or _OTHER.search(name):
                continue
            fp8 = fp8 or kind.startswith("F8_E")
            if _EXPERT.search(name):
                experts += size
            else:
                linear += size
    return _Stored(linear, experts, everything, fp8)


def _files(folder: Path) -> list[Path]:
    """Those that the index names; without one all, but for adapters and what Mistral stores a second time."""
    names = (_json(folder / INDEX) or {}).get("weight_map")
    if isinstance(names, Mapping):
        return sorted({folder / Path(str(name)).name for name in names.values()})
    found = sorted(folder.glob("*.safetensors"))
    return [one for one in found if not one.name.startswith(("adapter", "consolidated"))]


def _tensors(header: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Name, type and bytes of each tensor; 4 bytes a number are loaded as 2."""
    for name, said in header.items():
        offsets = said.get("data_offsets") if isinstance(said, Mapping) else None
        if name == "__metadata__" or not isinstance(offsets, list) or len(offsets) != 2:
            continue
        start, end = offsets
        if isinstance(start, int) and isinstance(end, int) and 0 <= start <= end < 2**50:
            kind, shape = str(said.get("dtype")), said.get("shape")
            large = kind == "F32" and isinstance(shape, list) and len(shape) > 1
            yield name, kind, float(end - start) / (2 if large and "scale" not in name else 1)


def _json(file: Path, *, header: bool = False) -> Mapping[str, Any] | None:
    """The object that a file holds, or that the header of a file of tensors is; None where there is none to be read."""
    try:
        if not file.is_file():
            return None
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little") if header else MOST_BYTES + 1
            raw = opened.read(min(length, MOST_BYTES + 1))
        data: Any = json.loads(raw) if len(raw) <= MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
