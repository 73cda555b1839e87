"""What reads pictures and sound beside the text: parameters of the towers and of what joins them to it."""

from __future__ import annotations

from typing import Final

from pytest_llmdbench.capacity.architecture import Vision
from pytest_llmdbench.capacity.fields import Fields

#: Architectures whose tower each tensor parallel rank holds whole.
_WHOLE: Final = ("Mistral3", "Pixtral")
#: Architectures whose tower's feed-forward part has three matrices.
_GATED: Final = ("Mistral3", "Pixtral", "Qwen2_5_VL", "Qwen2_5Omni")
#: Towers that a config.json gives by their name alone: pictures and sound of Gemma 3n.
_NAMED: Final = {"Gemma3n": 0.98e9}


def vision_of(whole: Fields, architecture: str, hidden: int) -> Vision | None:
    """From ``vision_params_b``, or the towers of ``vision_config`` and ``audio_config``.

    Raises:
        DeclarationError: a dimension of a wrong type or absurd.
    """
    whole = whole.below("thinker_config") or whole
    replicated = whole.flag("vision_replicated", default=architecture.startswith(_WHOLE))
    known = whole.number("vision_params_b") * 1e9
    known = known or next((size for name, size in _NAMED.items() if architecture.startswith(name)), 0.0)
    size = known or _pictures(whole, architecture, hidden) + _sound(whole, hidden)
    return Vision(float(size), replicated) if size else None


def _pictures(whole: Fields, architecture: str, hidden: int) -> int:
    tower = whole.below("vision_config")
    width = tower.count("embed_dim", "hidden_size", "width", "vt_hidden_size") if tower else 0
    if tower is None or not width:
        return 0
    depth = tower.count("num_hidden_layers", "depth", "layers", "vt_num_hidden_layers")
    inner = tower.count("intermediate_size", "vt_intermediate_size") or 4 * width
    gated = architecture.startswith(_GATED) or tower.text("model_type") == "pixtral"
    merged = tower.count("spatial_merge_size")
    if merged and architecture.startswith("Qwen"):
        # Each merger takes the squares of a few patches to the width of the text.
        mergers, square = 1 + _length(tower, "deepstack_visual_indexes"), merged**2 * width
        joined = mergers * (square * square + square * hidden)
    else:
        joined = width * hidden + (hidden * hidden if whole.data.get("projector_hidden_act") else 0)
    return depth * (4 * width * width + (3 if gated else 2) * width * inner) + joined


def _sound(whole: Fields, hidden: int) -> int:
    tower = whole.below("audio_config")
    width = tower.count("d_model", "hidden_size") if tower else 0
    if tower is None or not width:
        return 0
    inner = tower.count("encoder_ffn_dim", "intermediate_size", default=4 * width)
    return tower.count("encoder_layers", "num_hidden_layers") * (4 * width * width + 2 * width * inner) + width * hidden


def _length(fields: Fields, key: str) -> int:
    value = fields.data.get(key)
    return len(value) if isinstance(value, list) else 0
