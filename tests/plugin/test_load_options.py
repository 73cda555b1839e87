"""What options of loads in a cluster do where a load runs on this machine: they say so, and nothing is sent."""

from __future__ import annotations

import pytest


def test_a_load_on_this_machine_has_no_pod_to_look_into(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-debug-pod")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*--llmd-debug-pod is for loads in a cluster; this one runs on this machine*"])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_only_pods_send_a_load_side_by_side(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-parallelism=2")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*load.parallelism: 2 pods send a load side by side only where it runs in a cluster*"])
    done.stderr.no_fnmatch_line("*Traceback*")
