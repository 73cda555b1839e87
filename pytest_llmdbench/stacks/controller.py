"""What only xdist's controller needs: workers are told where the pool is, and run whole stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_llmdbench.stacks.owner import StackOwner


class XdistController:
    """A plugin beside the owner of the stacks, where tests run in workers."""

    def __init__(self, owner: StackOwner) -> None:
        self._owner = owner

    def pytest_xdist_setupnodes(self) -> None:
        """Be ready before the first worker starts: it has to inherit the run's mark."""
        _ = self._owner.broker

    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where to borrow."""
        node.workerinput["llmd_broker"] = self._owner.broker.address

    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has ended, or died."""
        self._owner.broker.gone(node.gateway.id)

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> Any:
        """All cases of one stack go to one worker, whatever ``--dist`` says."""
        from xdist.workermanage import parse_tx_spec_config

        from pytest_llmdbench.stacks.scheduler import StackScheduling

        return StackScheduling(len(parse_tx_spec_config(config)), self._owner.pool.stack_of)

    @pytest.hookimpl(tryfirst=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """A case whose worker died is over."""
        report.when = "teardown"  # a phase that reporters know; "???" is dropped by pytest-html
        self._owner.pytest_runtest_logfinish(crashitem)
