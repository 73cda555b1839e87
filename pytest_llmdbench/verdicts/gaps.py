"""What the gaps between the events of answers are worth: those of one answer depend on each other.

Answers are the clusters of a ratio estimate (Cochran 1977, 6.3). But few answers tell little of how answers differ:
that one in fifty stutters throughout is mostly not seen in twenty. So for a PASS gaps are worth no more than as many
requests as there are answers, unless they would be with one answer more, all of whose gaps were bad. Checked by
simulation of 3 to 3,000 answers of 30 to 1,000 gaps, alike to very unlike: at the bound at most 6 % wrong PASS; without
that it is up to 37 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmdbench.verdicts.dependence import dependence

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import Numbers


def worth_of_gaps(off: Numbers, bad: float, number: float, lost: int = 0) -> tuple[float, float]:
    """How many independent gaps all gaps are worth, and how many where a PASS rests on it.

    Args:
        off: for each answer, in the order of their sending, how many more bad gaps it has than the share of all makes
            of its number, in units of a usual answer's gaps.
        bad: bad gaps, of ``number``.
        number: all gaps.
        lost: answers whose gaps were all bad and that have no place in that order.
    """
    share, answers, together = bad / number, len(off) + lost, dependence(off)
    # Around the share they add up to nothing, so that their squares are their variance.
    squares = float(off @ off) + lost * (1 - share) ** 2

    def worth(squares: float, answers: int) -> float:
        variance = squares / answers**2 * together
        return min(share * (1 - share) / variance, number) if variance > 0 else float(answers)

    own = worth(squares, answers)
    return own, min(own, max(answers, worth(squares + (1 - share) ** 2, answers + 1)))
