"""What a ``quantization_config`` makes of a model: bits of its parts, also where they are quantized in several ways."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.fields import Fields
from pytest_llmdbench.capacity.layer_kinds import LayerKind
from pytest_llmdbench.capacity.matrices import UP, Matrix, Part, matrices
from pytest_llmdbench.capacity.quantization import NONE, Quantization, UnknownQuantizationError
from pytest_llmdbench.capacity.schemes import of_algorithm, of_group, of_method, of_quark
from pytest_llmdbench.capacity.selection import Selection, select

#: Where checkpoints name what they leave as it was.
_LEFT_OUT: Final = ("ignore", "exclude_modules", "modules_to_not_convert", "exclude", "llm_int8_skip_modules")
#: Bits of a weight that is not quantized.
_PLAIN: Final = 16.0
#: A layer, or all that match a list, and how they are quantized.
_Group = tuple[Selection, Quantization]


def quantization_of_config(config: Fields | None, model: Model, kinds: Sequence[LayerKind]) -> Quantization:
    """What ``quantization_config`` says of a model: of parts that are quantized in several ways, the mean.

    Raises:
        UnknownQuantizationError: the bits of the weights cannot be told from it.
        DeclarationError: a value of a wrong type.
    """
    if config is None:
        return NONE
    try:
        groups, left_out = list(_groups(config)), select(_left_out(config))
    except ValueError as error:
        raise UnknownQuantizationError(f"{config.name}: {error}") from error
    alone = groups[0][1] if len(groups) == 1 and groups[0][0].everything else None
    if alone and left_out == select(()):
        return alone
    return _mean(model, kinds, groups, left_out)


def _groups(config: Fields) -> Iterator[_Group]:
    """The groups in the order in which they are asked for a layer."""
    method, algorithm = config.text("quant_method").lower(), config.text("quant_algo").lower()
    if algorithm == "mixed_precision" or (method == "compressed-tensors" and not config.text("quant_algo")):
        yield from _listed(config)
    elif method == "quark":
        layers = config.below("layer_quant_config")
        for pattern in layers.data if layers else ():
            yield select([pattern]), of_quark(layers and layers.below(pattern), config.name)
        yield select("*"), of_quark(config.below("global_quant_config"), config.name)
    else:
        found = of_method(config)
        blocks = config.data.get("weight_block_size")
        if isinstance(blocks, list) and blocks and isinstance(blocks[0], int) and 0 < blocks[0] <= 4096:
            found = replace(found, block=blocks[0])
        yield from _dynamic(config, found)
        yield select("*"), found


def _listed(config: Fields) -> Iterator[_Group]:
    """Layer by layer, as Model Optimizer writes it, or by groups with their targets."""
    layers, groups = config.below("quantized_layers"), config.below("config_groups")
    if layers and layers.data:
        own: dict[tuple[str, int], list[str]] = {}
        for name in layers.data:
            said = layers.below(name)
            if said is not None:
                own.setdefault((said.text("quant_algo"), said.count("group_size")), []).append(name)
        for (algorithm, _), names in own.items():
            yield select(names), of_algorithm(algorithm, config.name)
        return
    if groups is None or not groups.data:
        raise UnknownQuantizationError(
            f"{config.name}: neither 'quantized_layers' nor 'config_groups' tell how each layer is quantized"
        )
    for name in groups.data:
        group = groups.below(name)
        targets = group.data.get("targets", ["Linear"]) if group else None
        if group is None or not isinstance(targets, list):
            raise UnknownQuantizationError(f"{config.name}: '{name:.40}' has no list of 'targets'")
        yield select(targets), of_group(group, config.name)


def _dynamic(config: Fields, usual: Quantization) -> Iterator[_Group]:
    """Layers that GPTQ (``dynamic``) and AutoRound (``extra_config``) give other bits than the rest."""
    for key in ("dynamic", "extra_config"):
        said = config.below(key)
        for pattern in said.data if said else ():
            one = said.below(pattern) if said else None
            bits = one.count("bits") if one else 0
            name = f"re:{pattern[2:]}" if re.match(r"[+-]:", pattern) else pattern
            if pattern.startswith("-:") or bits >= _PLAIN:
                yield select([name]), NONE
            elif bits:
                more = (usual.linear_bits or 4.125) % 1
                yield select([name]), replace(usual, linear_bits=bits + more, expert_bits=bits + more)


def _left_out(config: Fields) -> Sequence[Any]:
    found = [config.data.get(key) for key in _LEFT_OUT]
    return [one for part in found if isinstance(part, list) for one in part]


def _mean(model: Model, kinds: Sequence[LayerKind], groups: Sequence[_Group], left_out: Selection) -> Quantization:
    bits: dict[Part, list[tuple[float, float]]] = {"mixer": [], "linear": [], "experts": [], "head": []}
    used: Counter[Quantization] = Counter()
    plain_up = False
    for matrix in matrices(model, kinds):
        how = NONE if left_out.has(matrix) else _of_matrix(matrix, groups)
        own = _bits(how, matrix.part)
        bits[matrix.part].append((matrix.elements, own))
        if own != _PLAIN:
            used[how] += int(matrix.elements)
        elif matrix.names[0].endswith(UP):
            plain_up = True
    if not used:
        raise UnknownQuantizationError(
            f"{model.name}: quantization_config names no layer that it has, so the bits of its weights are not known"
        )
    most = used.most_common(1)[0][0]
    parts: tuple[Part, ...] = ("mixer", "linear", "experts", "head")
    mixers, linear, experts, head = (_average(bits[part]) for part in parts)
    linear = linear if bits["linear"] else mixers
    return replace(
        most,
        name=most.name if len({one.name for one in used}) == 1 else "mixed",
        linear_bits=linear,
        expert_bits=experts if bits["experts"] else linear,
        head_bits=head,
        own_mixers=mixers != linear,
        own_mixer_bits=None if mixers == linear else mixers,
        plain_up=plain_up,
        block=max(one.block for one in used),
    )


def _of_matrix(matrix: Matrix, groups: Sequence[_Group]) -> Quantization:
    """Names are nearer than classes; a head is quantized only where it is named."""
    for selection, how in groups:
        if selection.has(matrix):
            return how
    every = (how for selection, how in groups if selection.everything and matrix.part != "head")
    return next(every, NONE)


def _bits(how: Quantization, part: Part) -> float:
    own = how.expert_bits if part == "experts" else how.linear_bits
    return _PLAIN if own is None else own


def _average(parts: Sequence[tuple[float, float]]) -> float | None:
    """The mean of bits, weighed by elements; None where nothing is quantized."""
    values = {bits for _, bits in parts}
    if len(values) <= 1:
        only = next(iter(values), _PLAIN)
        return None if only == _PLAIN else only
    return sum(elements * bits for elements, bits in parts) / sum(elements for elements, _ in parts)
