"""The summary of a run in Markdown: what failed and why, for GitHub's and GitLab's page of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.reports.markdown import GITHUB, escaped, summary, write
from tests.reports.test_terminal_table import case, judged


def records() -> list[dict[str, Any]]:
    bad = judged("ttft.p99 <= 500ms", "FAIL", 0.6, 0.55, 0.65)
    good = judged("error_rate <= 0.1%", "PASS", 0.0, None, None)
    return [
        case("fine", "PASS", [good]),
        case("slow|one", "FAIL", [bad, good]),
        {"case": "down", "error": "no GPUs\nat all"},
    ]


def test_the_first_line_counts_the_verdicts() -> None:
    assert summary(records()).splitlines()[0] == "## llmdbench: 1 ERROR, 1 FAIL, 1 PASS"
    assert summary([]).startswith("## llmdbench: no case ran")


def test_every_case_has_a_row_with_its_numbers() -> None:
    lines = summary(records()).splitlines()
    assert "| case | verdict | requests | TTFT p50/p99 | TPOT p50/p99 | E2E p50/p99 | tok/s |" in lines
    assert r"| slow\|one | FAIL | 123456 | 2891/4650 ms | 2891/4650 ms | 2891/4650 ms | 98765 |" in lines


def test_what_did_not_pass_is_told_with_its_objectives_the_gravest_first() -> None:
    text = summary(records(), ["stack h100: up in 3.0 s, 2 loads"], "llmdbench-results/1")
    trouble = text.partition("### What did not pass")[2]
    assert trouble.index("**down**") < trouble.index("**slow")
    assert "**down**  \nERROR: no GPUs\n" in trouble
    assert "| MISSED | ttft.p99 | 600 ms | 550 .. 650 ms | &lt;= 500 ms | +20.0% |" in trouble
    assert "**fine**" not in trouble
    assert text.endswith("- stack h100: up in 3.0 s, 2 loads\n- results: llmdbench-results/1\n")


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a | b\n\n## c", r"a \| b \#\# c"),
        ("[x](https://evil.example) ![y](z)", r"\[x\](https&#58;//evil.example) \!\[y\](z)"),
        ("@everyone `code` *bold* _it_ ~~no~~ $x$", r"&#64;everyone \`code\` \*bold\* \_it\_ \~\~no\~\~ \$x\$"),
        ("\x1b[31mred\x00", r"\[31mred"),
        ("&lt; www.evil.example", "&amp;lt; www&#46;evil.example"),
    ],
)
def test_text_from_elsewhere_is_shown_as_it_is(hostile: str, shown: str) -> None:
    assert escaped(hostile) == shown


def test_a_run_of_thousands_of_cases_stays_within_what_github_takes() -> None:
    many = [
        case("|" * 500 + str(number), "FAIL", [judged("ttft.p99 <= 500ms", "FAIL", 0.6, 0.5, 0.7)] * 8)
        for number in range(3000)
    ]
    text = summary(many)
    assert len(text.encode()) < 2**20
    assert "... and 2700 cases more." in text
    assert "... and 2950 cases more." in text


def test_the_file_is_written_anew_and_githubs_is_added_to(tmp_path: Path) -> None:
    step = tmp_path / "step.md"
    step.write_text("before\n")
    for text in ("one\n", "two\n"):
        said = list(write(text, str(tmp_path / "folder/summary.md"), {GITHUB: str(step)}))
        assert said == [f"summary: {tmp_path / 'folder/summary.md'}"]
    assert (tmp_path / "folder/summary.md").read_text() == "two\n"
    assert step.read_text() == "before\none\n\ntwo\n\n"


def test_without_a_file_and_outside_github_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(write("one", None, {})) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_said_and_ends_nothing(tmp_path: Path) -> None:
    there = tmp_path / "folder"
    there.mkdir()
    said = list(write("one", str(there), {GITHUB: str(there)}))
    assert [line.partition(":")[0] for line in said] == ["--llmd-summary", f"${GITHUB}"]
