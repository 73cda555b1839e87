"""Where declared things are found: by path, or by name in the project and among those that come with the plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.errors import DeclarationError, nearest

#: Endings of declared files, the first preferred; ``.yaml.in`` is the ending that llm-d-benchmark gives its profiles.
ENDINGS = (".yaml", ".yml", ".yaml.in")


@dataclass(frozen=True)
class Places:
    """The folders that hold ``scenarios/`` and ``workloads/``, the nearest first."""

    roots: Sequence[Path]

    def scenario(self, given: str) -> Path:
        """The file of a scenario. Raises DeclarationError that lists the scenarios there are."""
        if _is_path(given):
            return _at_path(given, "scenario")
        return _named(given, self.names("scenarios"), "scenario", "scenarios")

    def workload(self, given: str, harness: str) -> Path:
        """The file of a workload of one harness; ``given`` may also be ``HARNESS/NAME``, a use case, or a path.

        Raises DeclarationError that lists the workloads there are.
        """
        if _is_path(given):
            return _at_path(given, "workload")
        folder, _, name = given.rpartition("/")
        place = f"workloads/{folder or harness}"
        known = self.names(place)
        if stem(Path(name)) in known:
            return known[stem(Path(name))]
        main = {use_case: path for path in known.values() if (use_case := _use_case(path))}
        return _named(name, main | known, "workload", place)

    def has_workload(self, given: str, harness: str) -> bool:
        """Whether a harness has a workload of that name or use case."""
        try:
            self.workload(given, harness)
        except DeclarationError:
            return False
        return True

    def names(self, folder: str) -> dict[str, Path]:
        """Name -> file of all that is in one folder of all roots; the nearest root wins."""
        found: dict[str, Path] = {}
        for root in reversed(self.roots):
            for ending in reversed(ENDINGS):
                for path in sorted((root / folder).glob(f"*{ending}")):
                    found[stem(path)] = path
        return found


def _at_path(given: str, what: str) -> Path:
    path = Path(given).expanduser()
    if path.is_file():
        return path
    beside = [one.name for ending in ENDINGS for one in path.parent.glob(f"*{ending}")]
    hint = nearest(path.name, beside) if beside else f"a {what} is a path to a YAML file or a name"
    raise DeclarationError(f"no {what} file '{given}'; {hint}")


def _named(given: str, known: Mapping[str, Path], what: str, folder: str) -> Path:
    name = stem(Path(given))
    if name in known:
        return known[name]
    hint = nearest(name, known)
    listing = "" if hint.startswith("there") else f" (there is {', '.join(sorted(known))})"
    raise DeclarationError(f"no {what} '{given}' in {folder}/; {hint}{listing}")


def stem(path: Path) -> str:
    """A declared file's name without its ending."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if path.name.endswith(ending):
            return path.name.removesuffix(ending)
    return path.name


@cache
def _use_case(path: Path) -> str:
    """The use case in a workload file's header; what is wrong with the file comes up when it is loaded."""
    try:
        data = load_yaml(path).data
    except DeclarationError:
        return ""
    header = data.get("llmdbench") if isinstance(data, Mapping) else None
    return str(header.get("use_case") or "") if isinstance(header, Mapping) else ""


def _is_path(given: str) -> bool:
    """A path is absolute, starts with a dot, or exists with its ending; everything else is a name."""
    return given.startswith(("/", "./", "../", "~")) or (given.endswith(ENDINGS) and Path(given).is_file())


def shipped_root() -> Path:
    """The folder of the scenarios and workloads that come with the plugin: in the wheel, or beside a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "shipped"
    return inside if inside.is_dir() else package.parent
