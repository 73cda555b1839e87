"""Baselines: what runs of a case measured, one value a metric and run, as a text file that reads well in a diff.

Values are in canonical units: seconds, tokens or requests a second. Only runs that measured something are in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.fields import Part
from pytest_llmdbench.results.loading import load_yaml
from pytest_llmdbench.results.whole_file import whole_file

#: The version of the file's form; raised when a reader of the old form could go wrong.
FORM: Final = 1
_HEADER: Final = (
    "# A baseline of pytest-llmdbench: what runs of each case measured, in seconds and a second.\n"
    "# pytest --llmd-baseline compares with it; pytest --llmd-save-baseline adds runs.\n"
)
#: Significant digits of a value: no run is the same in more.
_DIGITS: Final = 6
#: What of a setting says which load was sent, whatever it was sent to.
_LOAD: Final = ("harness", "workload", "treatment", "setup_treatment")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: metric (``ttft.p99``) -> value, above 0.

    ``errors`` are standard errors of a value's logarithm, known within the run, where it kept single requests.
    ``session`` and ``started`` (ISO 8601) tell runs apart, ``commit`` is that of the benchmarks' repository.
    """

    values: Mapping[str, float]
    errors: Mapping[str, float] = field(default_factory=dict)
    session: str | None = None
    started: str | None = None
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Noise:
    """An A/A measurement: the 95th percentile of the absolute log ratio of two single runs, by metric.

    ``runs`` is how many runs it was made from, of both arms.
    """

    runs: int
    floors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CaseRuns:
    """The runs of one case in one setting.

    ``setting`` says, in texts, what was measured by what: names, versions, and digests of scenario and load.
    """

    case: str
    setting: Mapping[str, str]
    runs: tuple[Run, ...]
    noise: Noise | None = None

    def differences(self, other: CaseRuns) -> list[str]:
        """The words of the setting that are not the same: ``model: a, was b``."""
        words = dict.fromkeys((*other.setting, *self.setting))
        return [
            f"{word}: {self.setting.get(word, 'unknown')}, was {other.setting.get(word, 'unknown')}"
            for word in words
            if self.setting.get(word) != other.setting.get(word)
        ]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What later runs are compared with; ``origin`` says where it is from."""

    origin: str
    cases: tuple[CaseRuns, ...]
    notes: tuple[str, ...] = ()

    def of(self, wanted: CaseRuns) -> CaseRuns | None:
        """The runs to compare with: of the same case and load, of the same case, or else of the same load elsewhere.

        Of several those in the setting with the fewest differences; None where there are none, or several are as near.
        """
        same = [one for one in self.cases if one.case == wanted.case]
        load = [one for one in same if one.setting.get("load") == wanted.setting.get("load")]
        alike = [
            one
            for one in self.cases
            if "workload" in wanted.setting and all(one.setting.get(word) == wanted.setting.get(word) for word in _LOAD)
        ]
        found = load or same or alike
        distances = [len(one.differences(wanted)) for one in found]
        return found[distances.index(min(distances))] if distances.count(min(distances, default=0)) == 1 else None


def gathered(several: Iterable[CaseRuns]) -> list[CaseRuns]:
    """One of each case and setting, with the runs of all, each once; the last noise counts."""
    found: dict[tuple[Any, ...], CaseRuns] = {}
    for one in several:
        key = (one.case, tuple(sorted(one.setting.items())))
        earlier = found.get(key)
        if earlier is None:
            found[key] = replace(one, runs=tuple(_distinct(one.runs)))
        else:
            runs = tuple(_distinct((*earlier.runs, *one.runs)))
            found[key] = replace(earlier, runs=runs, noise=one.noise or earlier.noise)
    return list(found.values())


def added(baseline: Baseline, measured: Iterable[CaseRuns]) -> tuple[Baseline, list[str]]:
    """A baseline with new runs, and a line for each case on what became of it.

    Runs in the setting of earlier ones are added to them. In another setting they replace them: they would not be runs
    of the same thing. Cases that were not measured stay as they are.
    """
    new = gathered(measured)
    settings = [(one.case, dict(one.setting)) for one in new]
    cases = {one.case for one in new}
    kept = [one for one in baseline.cases if one.case not in cases or (one.case, dict(one.setting)) in settings]
    dropped = [one for one in baseline.cases if one not in kept]
    merged = gathered([*kept, *new])
    lines = []
    for one in merged:
        if one.case in cases:
            gone = [old for old in dropped if old.case == one.case]
            changed = f"; the {sum(len(old.runs) for old in gone)} of another setting are gone" if gone else ""
            lines.append(f"{one.case}: {len(one.runs)} run{'s' if len(one.runs) != 1 else ''}{changed}")
    merged.sort(key=lambda one: (one.case, one.setting.get("load", "")))
    return Baseline(baseline.origin, tuple(merged)), lines


def _distinct(runs: Iterable[Run]) -> Iterator[Run]:
    """Each run once: a repeated run is recorded by itself and as a part of the whole."""
    seen = set()
    for run in runs:
        key = (run.started, *sorted((name, _rounded(value)) for name, value in run.values.items()))
        if key not in seen:
            seen.add(key)
            yield run


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write the file, whole or not at all. Raises ResultsError."""
    data = {"form": FORM, "cases": [case_to_json(one) for one in baseline.cases]}
    text = _HEADER + yaml.safe_dump(data, sort_keys=False, width=110)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{path}: the baseline cannot be written: {error}") from error


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file. Raises ResultsError, which names file and field."""
    file = load_yaml(path)
    if file.get("form") != FORM:
        found = str(file.get("form"))[:20]
        raise ResultsError(f"{path}: is no baseline of form {FORM}, which this version reads (its form is {found})")
    return Baseline(str(path), tuple(case_from(one) for one in file.items("cases")))


def case_to_json(one: CaseRuns) -> dict[str, Any]:
    """Plain data for the file and for a case's record."""
    noise = one.noise
    return {
        "case": one.case,
        "setting": dict(sorted(one.setting.items())),
        **({"noise": {"runs": noise.runs, "log_ratio_p95": _numbers(noise.floors)}} if noise else {}),
        "runs": [
            {
                **{name: text for name in ("session", "started", "commit") if (text := getattr(run, name)) is not None},
                "values": _numbers(run.values),
                **({"errors": _numbers(run.errors)} if run.errors else {}),
            }
            for run in one.runs
        ],
    }


def case_from(part: Part) -> CaseRuns:
    """The opposite of :func:`case_to_json`. Raises ResultsError."""
    case = part.text("case")
    if not case:
        raise part.wrong("case", "the name of a case", part.get("case"))
    setting = part.below("setting")
    runs = tuple(
        Run(
            values=_positive(run, "values"),
            errors=_positive(run, "errors"),
            **{name: run.text(name) for name in ("session", "started", "commit")},
        )
        for run in part.items("runs")
    )
    noise = part.below("noise")
    floors = Noise(noise.count("runs") or 0, _positive(noise, "log_ratio_p95")) if noise.data else None
    return CaseRuns(case, {str(name): setting.text(name) or "" for name in setting.data}, runs, floors)


def _numbers(values: Mapping[str, float]) -> dict[str, float]:
    return {name: _rounded(value) for name, value in sorted(values.items())}


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _positive(part: Part, field_name: str) -> dict[str, float]:
    """Names and numbers above 0, but for a floor or an error, which may be 0."""
    numbers = part.below(field_name)
    found = {}
    for name, value in numbers.data.items():
        number = numbers.checked(str(name), value)
        if number is None or number < 0 or (number == 0 and field_name == "values") or not math.isfinite(number):
            raise numbers.wrong(str(name), "a number above 0", value)
        found[str(name)] = number
    return found
