"""Whatever stands in a load program's files, reading them gives a result or one clear error; every harness's."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.harnesses.registry import Harnesses

DATA = Path(__file__).parents[1] / "data"
#: Genuine runs, small ones, with the harness that wrote them.
RUNS = [
    ("inference-perf", "constant"),
    ("inference-perf", "fail-500-30pct"),
    ("guidellm", "constant"),
    ("guidellm", "fail-500-30pct"),
    ("vllm-benchmark", "constant"),
    ("vllm-benchmark", "fail-500-30pct"),
    ("aiperf", "constant"),
    ("aiperf", "fail-404-model"),
    ("lm-eval", "sanity"),
]
#: What is noted beside the files, and no program wrote.
OURS = ("case.json", "stdout.log", "stderr.log")

#: Deeper than anything that shows values of Python can go.
DEEP = "[" * 20_000 + "]" * 20_000


def after(value: str) -> str:
    """What has to stand behind a value that was put before another one, for it to be good JSON."""
    return ', "next": [' if value == "[" else ""


HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([float("nan"), float("inf"), -1, -0.5, 0, 10**400, 1e308, "", "x", "12", [], {}, [[]], [None]]),
    st.recursive(
        st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
)


def files(folder: Path) -> list[Path]:
    """The program's own files that hold JSON, each line or the whole."""
    return sorted(path for path in folder.rglob("*.json*") if path.name not in OURS and not path.name.startswith("."))


def places(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value, of long lists only to the first and the last ones."""
    if at:
        yield at
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, (*at, key))
    elif isinstance(tree, list):
        for index in sorted({*range(min(3, len(tree))), *range(max(0, len(tree) - 2), len(tree))}):
            yield from places(tree[index], (*at, index))


def put(tree: Any, at: tuple[Any, ...], value: Any) -> None:
    for step in at[:-1]:
        tree = tree[step]
    tree[at[-1]] = value


def read(name: str, folder: Path) -> None:
    """A result or the one error; anything else is this test's failure."""
    with tempfile.TemporaryDirectory() as target:
        try:
            said = read_run(Harnesses()(name), [folder], Path(target)).harness
        except HarnessError as error:
            said = str(error)
        assert 0 < len(said) < 2000


@pytest.mark.parametrize(("name", "case"), RUNS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_value_that_was_not_meant_is_no_other_error(name: str, case: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(DATA / name / case, Path(place) / "run"))
        path = data.draw(st.sampled_from(files(folder)))
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        number = data.draw(st.integers(0, len(lines) - 1)) if path.suffix == ".jsonl" else None
        tree = json.loads(text if number is None else lines[number])
        at = data.draw(st.sampled_from(list(places(tree)) or [()]))
        value = data.draw(HOSTILE)
        if at:
            put(tree, at, value)
        else:
            tree = value
        spoilt = json.dumps(tree)
        path.write_text(
            spoilt if number is None else "\n".join([*lines[:number], spoilt, *lines[number + 1 :]]), encoding="utf-8"
        )
        read(name, folder)


@pytest.mark.parametrize(("name", "case"), RUNS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_file_that_was_cut_short_is_no_other_error(name: str, case: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(DATA / name / case, Path(place) / "run"))
        path = data.draw(st.sampled_from(files(folder)))
        content = path.read_bytes()
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        read(name, folder)


@pytest.mark.parametrize(("name", "case"), RUNS)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[" * 50_000, b'{"a":' * 5_000, b"null", b"1e999"])
def test_a_file_of_something_else_is_no_other_error(name: str, case: str, content: bytes, tmp_path: Path) -> None:
    for path in files(DATA / name / case):
        folder = Path(shutil.copytree(DATA / name / case, tmp_path / path.stem))
        (folder / path.relative_to(DATA / name / case)).write_bytes(content)
        read(name, folder)


@pytest.mark.parametrize(
    ("name", "case", "file", "before", "after"),
    [
        ("aiperf", "fail-500-30pct", "profile_export.jsonl", '"type":"X"', '"type":"\\udce9"'),
        ("aiperf", "fail-500-30pct", "profile_export_aiperf.json", '"type": "X"', '"type": "\\udce9"'),
        ("inference-perf", "fail-404-model", "summary_lifecycle_metrics.json", '"404 - other"', '"404 - \\udce9"'),
        ("inference-perf", "fail-404-model", "stage_0_lifecycle_metrics.json", '"404 - other"', '"404 - \\udce9"'),
    ],
)
def test_the_reason_of_a_status_that_is_no_utf_8_is_a_kind_of_failure_that_can_be_written(
    name: str, case: str, file: str, before: str, after: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(DATA / name / case, tmp_path / "run"))
    text = (folder / file).read_text(encoding="utf-8")
    assert before in text
    (folder / file).write_text(text.replace(before, after), encoding="utf-8")
    failed = read_run(Harnesses()(name), [folder], tmp_path).whole.requests.failed
    assert sum(failed.values()) in (30, 50)
    assert " ".join(failed).encode("utf-8")


def raised(name: str, folder: Path, target: Path) -> str:
    with pytest.raises(HarnessError) as caught:
        read_run(Harnesses()(name), [folder], target)
    return str(caught.value)


@pytest.mark.parametrize(
    ("rate", "duration"),
    [(".inf", "10"), ("1e308", "1e308"), ("-5", "10"), ("xxxxxxxxxx", "2000000000"), ("[1, 2, 3]", "500000000")],
)
def test_a_load_in_a_configuration_that_nobody_can_ask_for_is_named_and_takes_no_memory(
    rate: str, duration: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(DATA / "inference-perf" / "constant", tmp_path / "run"))
    text = f"load: {{stages: [{{rate: {rate}, duration: {duration}}}]}}\ndata: {{type: random}}\n"
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    assert "config.yaml: 'load.stages.0.rate' should be " in raised("inference-perf", folder, tmp_path)


def test_a_configuration_that_nests_too_deep_is_named(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DATA / "inference-perf" / "constant", tmp_path / "run"))
    (folder / "config.yaml").write_text("load: " + "[" * 20_000 + "]" * 20_000, encoding="utf-8")
    assert "config.yaml: cannot be read" in raised("inference-perf", folder, tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "key"),
    [
        ("guidellm", "results.json", '"version":'),
        ("guidellm", "results.json", '"error":'),
        ("inference-perf", "per_request_lifecycle_metrics.json", '"error_type":'),
        ("vllm-benchmark", "vllm-bench.json", '"itls":'),
        ("aiperf", "profile_export_aiperf.json", '"schema_version":'),
    ],
)
def test_a_value_that_nests_too_deep_to_be_shown_is_one_line(name: str, file: str, key: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DATA / name / "fail-500-30pct", tmp_path / "run"))
    text = (folder / file).read_text(encoding="utf-8")
    # Of two values of one key the later one counts, so each of them is put in place.
    spoilt = re.sub(
        rf'{key} ?("[^"]*"|-?\d+|null|\[)', lambda found: found[0][: len(key)] + DEEP + after(found[1]), text
    )
    assert spoilt != text
    (folder / file).write_text(spoilt, encoding="utf-8")
    said = raised(name, folder, tmp_path)
    assert file in said
    assert "\n" not in said


@pytest.mark.parametrize("name", [name for name in Harnesses().names if name != "nop"])
def test_an_empty_folder_says_what_is_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"\w+"):
        read_run(Harnesses()(name), [tmp_path], tmp_path)
