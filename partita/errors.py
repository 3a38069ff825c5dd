"""Every deliberate error: what is wrong, where, and how to mend it, in one line."""

from typing import Any


class PartitaError(Exception):
    """Base of every error that bad input can cause; the command line prints it and exits with 2."""

    code = "partita"


class ModelError(PartitaError):
    """The model file, its shapes or one of its nodes cannot be used."""

    code = "model"


class UnsupportedOperatorError(ModelError):
    """No kernel here computes this operator."""

    code = "unsupported-operator"


class KernelError(PartitaError):
    """A kernel refused its inputs or attributes."""

    code = "kernel"


class SocError(PartitaError):
    """A Soc, support or fusion file is wrong, or it lacks what was asked of it."""

    code = "soc"


class PlacementError(PartitaError):
    """The graph cannot be placed as asked."""

    code = "placement"


class InfeasiblePlacementError(PlacementError):
    """No placement keeps all that was asked; `clashes` holds what cannot be kept together."""

    code = "infeasible"

    def __init__(self, message: str, clashes: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.clashes = clashes


class PlanError(PartitaError):
    """A plan file is broken, or was made for another graph."""

    code = "plan"


class SimulationError(PartitaError):
    """The plan cannot be simulated as asked."""

    code = "simulation"


class OutputError(PartitaError):
    """A result cannot be written where it was asked to go."""

    code = "output"


class StudyError(PartitaError):
    """A study or a table of measurements cannot be read or does not fit."""

    code = "study"


class StudioError(PartitaError):
    """Studio cannot do what its page asks, or cannot be started."""

    code = "studio"


class ProblemError(PartitaError):
    """A file with a placement problem is broken, or cannot be solved as asked."""

    code = "problem"


class BackendError(PartitaError):
    """A backend is not there, or does not run what it is given."""

    code = "backend"
