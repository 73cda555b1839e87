"""An inference server without a model: it speaks vLLM's protocol and keeps an engine's time.

Standard library only, in a process of its own: ``python -m pytest_llmdbench.simulator --help``.
Data flows one way: ``http1`` reads a request, ``openai_request`` understands it, ``engine`` schedules it in virtual
time, ``driver`` turns deadlines into wake-ups, ``answer`` writes what the engine produced, ``recorder`` measures it.
"""

from pytest_llmdbench.simulator.config import Faults, SimulatorConfig, Spread

__all__ = ["Faults", "SimulatorConfig", "Spread"]
