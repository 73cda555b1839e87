"""What to deploy: the model of a scenario file. Its defaults are documented here and nowhere else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from pytest_llmdbench.declared.strict import Strict
from pytest_llmdbench.simulator.config import SimulatorConfig


class Model(Strict):
    """The model that the stack serves."""

    name: Annotated[str, Field(min_length=1)] = Field(
        default="llmdbench/simulated", description="Name that requests carry and the engine serves."
    )
    tokenizer: str | None = Field(
        default=None,
        description="Tokenizer that harnesses count tokens with: a name or a local folder. Default: the model's own; "
        "for the simulator a small one that needs no network.",
    )


class Load(Strict):
    """How much of a workload this stack is given."""

    size: Literal["full", "quick"] = Field(
        default="full",
        description="'full' sends a workload as it is written; 'quick' applies the 'quick' overrides in its header: "
        "the same kind of load, scaled down to about a minute.",
    )


class Sanity(Strict):
    """What must hold before any objective is looked at."""

    max_error_rate: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="Share of failed requests (0..1) above which a run fails whatever its SLO says."
    )


class Timeouts(Strict):
    """How long to wait before giving up, in seconds."""

    standup_s: PositiveFloat = Field(default=60.0, description="From starting a stack to its first completion.")
    load_s: PositiveFloat | None = Field(
        default=None, description="One run of a load. Default: three times its expected duration plus two minutes."
    )


class Scenario(Strict):
    """A scenario: what to deploy, and what is good enough on it."""

    description: str = Field(default="", description="One line for people.")
    deploy: str = Field(default="local", description="The way to deploy; 'local' starts a server on this machine.")
    model: Model = Field(default_factory=Model, description="The model that the stack serves.")
    simulator: SimulatorConfig = Field(
        default_factory=SimulatorConfig, description="The embedded simulator: docs/simulator.md tells what it models."
    )
    harness: str = Field(
        default="inference-perf", description="The load program of benchmarks that do not name one themselves."
    )
    load: Load = Field(default_factory=Load, description="How much of a workload this stack is given.")
    sanity: Sanity = Field(default_factory=Sanity, description="What must hold before any objective is looked at.")
    slo: tuple[str, ...] = Field(
        default=(), description="Objectives, as in 'ttft.p99 <= 500ms'. Workload, test and option are nearer and win."
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, description="How long to wait before giving up.")

    @model_validator(mode="after")
    def _one_name_for_the_model(self) -> Scenario:
        if self.simulator.model != SimulatorConfig().model:
            raise ValueError(
                f"simulator.model: the simulator serves model.name; say model: {{name: {self.simulator.model}}}"
            )
        return self
