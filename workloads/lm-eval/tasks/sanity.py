"""Scores of the sanity task, called by lm-eval for each question."""

from __future__ import annotations

from typing import Any


def scores(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1.0 or 0.0 for each metric: whether there is an answer at all, and whether the right word is in it."""
    answer = results[0].strip()
    words = [word.strip(".,;:!?\"'()*").lower() for word in answer.split()]
    return {"answered": float(bool(answer)), "correct": float(doc["answer"].lower() in words)}
