"""The protocol of a harness: a load program of other people, and how its files become a result."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, Protocol, runtime_checkable

from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Purpose, Result
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

#: A workload in the harness's own format, as parsed from YAML.
Profile = Mapping[str, Any]


#: The files in a case's folder that a load program's own words go to.
STDOUT: Final = "stdout.log"
STDERR: Final = "stderr.log"
#: And the file with what has to be added to the program's monotonic times to make them seconds since 1970.
CLOCK: Final = "clock.txt"


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage of a load before it runs; None where the load does not say (a closed loop has no rate)."""

    rate: float | None = None
    concurrency: int | None = None
    duration_s: float | None = None
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running load program has said of itself: the stage under way, from 0, and the failures it reported.

    Few programs report every failure while they run, so ``failed`` is at least so many. A program that tells nothing
    before its end stays at no stage.
    """

    stage: int | None = None
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a load program runs: on this machine, or in a pod.

    ``folder`` is where its files are here, ``inside`` the same folder as the program sees it. ``programs`` says whether
    the program is in the environment that :meth:`Harness.prepare` makes, or on the search path of an image.
    ``processors`` is how many it has to itself; None: this machine's, which it shares with others. ``index`` counts the
    programs that send one load side by side, from 0: each sends other prompts.
    """

    folder: Path
    inside: PurePosixPath
    programs: Literal["prepared", "path"] = "prepared"
    processors: int | None = None
    index: int = 0

    @classmethod
    def here(cls, folder: Path) -> Place:
        """This machine."""
        return cls(folder.absolute(), PurePosixPath(folder.absolute()))


@dataclass(frozen=True, slots=True)
class Command:
    """How a load program is started: no shell, its own environment variables on top of the caller's.

    ``cwd`` is its folder here. ``reads`` is what it needs to be there where it runs: the name in its folder -> the file
    or folder on this machine. Where it runs on this machine all is in place already.
    """

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    reads: Mapping[str, Path] = field(default_factory=dict)


class Harness(Protocol):
    """One load program in one version."""

    name: str
    version: str
    #: Every key the program's own format knows; an override may add one of these, and a typo is told from them.
    known_keys: frozenset[str]
    #: Dotted paths that only a run can fill in (``server.base_url``); overriding one would do nothing, and is refused.
    filled: tuple[str, ...]
    #: What its results are about.
    purpose: Purpose
    #: Whether :attr:`Request.sent` is in seconds since 1970, or on the monotonic clock of the program's machine.
    clock: Literal["epoch", "monotonic"]

    def stages(self, profile: Profile) -> Sequence[PlannedStage]:
        """The stages a profile will run; pure. Raises DeclarationError for a profile the program would refuse."""

    def expected_seconds(self, profile: Profile) -> float | None:
        """How long the program will take for a profile, its own start included; None where nobody can say."""

    def prepare(self, say: Say) -> None:
        """Make the program's own environment if it is not there yet. Raises HarnessError with the way out."""

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        """Write what the program reads into the place's folder and say how to start it; its files land there too."""

    def watch(self, folder: Path) -> Callable[[], Progress]:
        """A function that says how far the program running in ``folder`` is; called every few seconds, never raises."""

    def read(self, folder: Path) -> Result:
        """What the program itself reported in ``folder``, whatever its exit code, in canonical units.

        Raises:
            HarnessError: a file is absent, cut short or of an unknown version; names file and field.
        """

    def requests(self, folder: Path, own: Result) -> Iterator[Request] | None:
        """The program's single requests, in any order; ``own`` is what :meth:`read` gave. None where it kept none.

        Read piece by piece: there may be a million.

        Raises:
            HarnessError: as :meth:`read`, also while they are read.
        """


@runtime_checkable
class Paced(Protocol):
    """A harness whose load can be told to go at one rate; one that has no such load does not have the method."""

    def at_rate(self, profile: Profile, rate: float, seconds: float) -> Profile:
        """The load of ``profile`` in one stage, at ``rate`` requests a second for ``seconds``; pure.

        Raises:
            DeclarationError: the load is sent at no rate: a closed loop, a trace.
        """


@runtime_checkable
class Limited(Protocol):
    """A harness that does not measure, of every profile, all that others of its purpose do."""

    def unmeasured(self, profile: Profile) -> Mapping[str, str]:
        """The metrics that a run of a profile will not have -> why, with the way out. Pure."""


@runtime_checkable
class Tasked(Protocol):
    """A harness whose programs side by side do not send one load but each run a task of its own."""

    def scores_together(self, parts: Sequence[Result]) -> Mapping[str, float]:
        """The scores of all tasks, from what :meth:`Harness.read` gave of each, one program or several."""


@runtime_checkable
class InPods(Protocol):
    """A harness whose program is an image of its own, so that it runs in load pods of a cluster alone."""

    def check_pods(self, profile: Profile, pods: int, image: str | None) -> None:
        """Whether so many load pods of an image can run a profile; 0 is a load on this machine. Pure.

        Raises:
            DeclarationError: they cannot, with the way out.
        """


@runtime_checkable
class Judgeable(Protocol):
    """A harness that knows before a run what can be judged of it; of others their purpose says so, and no names."""

    #: The metrics that it measures, whatever others of its purpose do.
    metrics: frozenset[str]

    def scores(self, profile: Profile, pods: int) -> Collection[str]:
        """The names of all scores that a profile can come to in so many load pods. Pure."""
