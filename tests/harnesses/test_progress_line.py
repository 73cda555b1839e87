"""How far a load is, in one line."""

from __future__ import annotations

from pytest_llmdbench.harnesses.harness import Progress
from pytest_llmdbench.harnesses.progress_line import Outline, ProgressLine, together


def test_a_new_stage_is_said_at_once_and_the_same_one_now_and_then() -> None:
    lines: list[str] = []
    stages = iter([Progress(None), Progress(0), Progress(0), Progress(0), Progress(1)])
    line = ProgressLine(Outline("it", "", 2, 20), lambda: next(stages), lines.append)
    for elapsed in (0.2, 1.0, 2.0, 6.5, 7.0):
        line.look(elapsed)
    assert lines == ["it: stage 1/2, 1 of ~20 s", "it: stage 1/2, 6 of ~20 s", "it: stage 2/2, 7 of ~20 s"]


def test_an_expected_time_that_has_passed_is_not_shown_any_more() -> None:
    lines: list[str] = []
    line = ProgressLine(Outline("it", "", 1, 43), lambda: Progress(0), lines.append)
    for elapsed in (43.0, 62.0):
        line.look(elapsed)
    assert lines == ["it: stage 1/1, 43 of ~43 s", "it: stage 1/1, 62 s"]


def test_programs_side_by_side_are_as_far_as_the_last_of_them() -> None:
    assert together([lambda: Progress(2, 1), lambda: Progress(1, 3)])() == Progress(1, 4)
    assert together([lambda: Progress(2, 0), lambda: Progress(None, 0)])() == Progress(None, 0)
