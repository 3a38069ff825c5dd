"""Whether what runs can be slowed by the others' memory traffic: if not, it is calm, and slices run in one go."""

from collections.abc import Sequence

from partita.simulator.program import Program
from partita.simulator.speeds import Speeds
from partita.simulator.work import Run

CALM_AGAIN = 16
"""After so many slices among flows without one that was slowed, it is worth looking whether anything can be slowed."""


class Calm:
    """What is known of it; looked at again only where it could have changed."""

    def __init__(self, speeds: Speeds, *, in_one_go: bool) -> None:
        self.is_calm = in_one_go
        self.may_be_calmer = False
        """Whether runs have come or gone since nothing was found to be calm."""
        self.never_short = False
        """Whether the memory suffices for everything that can ever run at the same time."""
        self._speeds = speeds
        self._in_one_go = in_one_go

    def look_ahead(self, programs: Sequence[Program]) -> None:
        """Whether the memory can ever be short for these programs."""
        self.never_short = self._in_one_go and self._speeds.never_short(programs)
        if self.never_short:
            self.is_calm = True

    def look_around(self, runs: Sequence[Run]) -> bool:
        """Whether anybody could be slowed by what runs now; tells whether it has ceased to be calm."""
        if not self._in_one_go:
            return False
        was_calm, self.may_be_calmer = self.is_calm, False
        asked = [run.table.most_asked[run.piece] for run in runs]
        self.is_calm = len(asked) < 2 or self._speeds.leave_alone(asked)
        return was_calm and not self.is_calm

    def forget(self) -> None:
        """Clocks or the background have changed."""
        if not self.never_short:
            self.is_calm, self.may_be_calmer = False, True

    def is_found(self, runs: Sequence[Run], unslowed: int) -> bool:
        """Whether it is calm, so many slices of flows after one was slowed."""
        if not self.is_calm and self.may_be_calmer and unslowed > CALM_AGAIN:
            self.look_around(runs)
        return self.is_calm
