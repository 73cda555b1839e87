"""Treatments files: factors expand, lists stay as they are, and mistakes are named."""

from pathlib import Path

import pytest

from pytest_llmdbench.declared.treatments import load_treatments
from pytest_llmdbench.errors import DeclarationError

EXPERIMENTS = Path(__file__).parent.parent / "data" / "experiments"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    return path


def test_factors_expand_to_every_combination_with_readable_names(tmp_path: Path) -> None:
    treatments = load_treatments(
        write(
            tmp_path,
            "setup:\n  factors: {simulator.itl: [0.01, 0.02]}\n"
            "run:\n  constants: {duration: 10}\n  factors:\n    rate: [2, 5]\n    data.output_len: [100, 300]\n",
        )
    )
    assert [one.name for one in treatments.setup] == ["itl0.01", "itl0.02"]
    assert [one.name for one in treatments.run] == [
        "rate2-output_len100", "rate2-output_len300", "rate5-output_len100", "rate5-output_len300",
    ]  # fmt: skip
    assert treatments.run[3].overrides == {"duration": 10, "rate": 5, "data.output_len": 300}


def test_listed_treatments_keep_their_names_and_get_the_constants(tmp_path: Path) -> None:
    treatments = load_treatments(
        write(
            tmp_path, "run:\n  constants: {duration: 9}\n  treatments:\n    - {name: slow, rate: 1}\n    - {rate: 7}\n"
        )
    )
    assert [(one.name, dict(one.overrides)) for one in treatments.run] == [
        ("slow", {"duration": 9, "rate": 1}),
        ("rate7", {"duration": 9, "rate": 7}),
    ]


def test_the_older_form_lists_levels_separated_by_commas(tmp_path: Path) -> None:
    treatments = load_treatments(
        write(
            tmp_path,
            'run:\n  factors: [question_len, output_len]\n  levels: {question_len: "100,300", output_len: "100,300"}\n'
            '  treatments:\n    - "100,300"\n    - "300,NA"\n    - "1REPLACE_COMMA2,300"\n',
        )
    )
    assert [dict(one.overrides) for one in treatments.run] == [
        {"question_len": 100, "output_len": 300},
        {"question_len": 300},
        {"question_len": "1,2", "output_len": 300},
    ]


def test_names_hold_nothing_that_k_cannot_select(tmp_path: Path) -> None:
    treatments = load_treatments(write(tmp_path, "run:\n  factors: {plugin: ['a=b, c@d.yaml', 'x y']}\n"))
    assert [one.name for one in treatments.run] == ["plugina_b_c_d.yaml", "pluginx_y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stup:\n  factors: {a: [1]}\n", r"t\.yaml:1: no key 'stup' here; did you mean 'setup'"),
        ("run:\n  factor: {a: [1]}\n", r"t\.yaml:2: no key 'factor' here; did you mean 'factors'"),
        ("run:\n  factors: {rate: 5}\n", r"t\.yaml:2: factor 'rate' wants a list of levels"),
        ("run:\n  factors: {rate: []}\n", "wants a list of levels"),
        (
            "run:\n  treatments:\n    - {name: a, x: 1}\n    - {name: a, x: 2}\n",
            r"t\.yaml:4: a second treatment named 'a'",
        ),
        ("run:\n  treatments: [just-a-name]\n", r"t\.yaml:2: a treatment is keys and values"),
        (
            'run:\n  factors: [a, b]\n  levels: {a: "1", b: "2"}\n  treatments: ["1"]\n',
            r"t\.yaml:4: 1 levels for 2 factors \(a, b\)",
        ),
        ("design:\n  run: {factors: []}\n", "'design' only documents"),
        ("- a\n", "expected keys and values, found a list"),
        ("", "no treatments; they stand under 'setup' or 'run'"),
        ("run:\n  treatments: []\n", "no treatments"),
        ("run:\n  factors: {rate: [1, 1]}\n", r"t\.yaml:2: a second treatment named 'rate1'"),
        (
            "setup:\n  factors: {a.b: ['x/y', 'x y']}\n",
            "a second treatment named 'bx_y'; list them, each with a 'name'",
        ),
        ('run:\n  factors: [a]\n  treatments: ["1"]\n', "factor 'a' has no levels beside it"),
        ("run:\n  factors: {a: [1]}\n  treatments: [{b: 2}]\n", "either 'factors' to expand or 'treatments'"),
        ("experiment: {harnes: x}\n", r"t\.yaml:1: no key 'harnes' here; did you mean 'harness'"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        load_treatments(write(tmp_path, text))


@pytest.mark.parametrize(
    ("experiment", "setups", "runs"),
    [
        ("optimized-baseline", 4, 9),
        ("tiered-prefix-cache", 4, 6),
        ("precise-prefix-cache-aware", 3, 6),
        ("pd-disaggregation", 9, 6),
        ("max-concurrency-sweep", 0, 4),
        ("otel-session-rate-sweep", 0, 5),
        ("concurrent-sessions-sweep", 0, 9),
    ],
)
def test_the_experiments_of_llm_d_benchmark_load_with_the_same_counts(experiment: str, setups: int, runs: int) -> None:
    treatments = load_treatments(EXPERIMENTS / f"{experiment}.yaml")
    assert (len(treatments.setup), len(treatments.run)) == (setups, runs)


def test_an_experiment_names_its_harness_and_workload() -> None:
    treatments = load_treatments(EXPERIMENTS / "pd-disaggregation.yaml")
    assert (treatments.harness, treatments.workload) == ("vllm-benchmark", "random_concurrent.yaml")
