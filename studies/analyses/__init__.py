"""The questions that a study can put to its results, by the name they have in a study file."""

from partita.studies.analyses import break_even, compare, marginal, pareto, robustness, tornado
from partita.studies.analyses.finding import Ask
from partita.studies.analyses.finding import Context as Context
from partita.studies.analyses.finding import Finding as Finding
from partita.studies.points import Point
from partita.studies.study_file import Analysis

MODULES = {module.KIND: module for module in (tornado, pareto, break_even, marginal, compare, robustness)}


def points_of(ctx: Context, analysis: Analysis) -> list[Point]:
    """What an analysis needs to have placed, as far as it is known beforehand."""
    found: list[Point] = MODULES[analysis.kind].points(ctx, analysis)
    return found


def finding_of(ctx: Context, analysis: Analysis, ask: Ask) -> Finding:
    found: Finding = MODULES[analysis.kind].finding(ctx, analysis, ask)
    return found
