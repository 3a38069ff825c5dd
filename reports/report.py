"""A report: one plan and its timeline, to be saved in the form that a file's suffix asks for."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from partita.errors import OutputError
from partita.files import write_atomically
from partita.graph.plan import Plan
from partita.kernels.compare import Difference
from partita.reports.account import Account
from partita.reports.difference import difference_document
from partita.reports.figures import figure_bytes, timeline_figure
from partita.reports.markdown import markdown
from partita.reports.page import page
from partita.reports.rewrites import Rewrite, rewrite_document, rewrites_of
from partita.reports.summary import plan_document
from partita.reports.verdict import verdict_of
from partita.simulator.timeline import Timeline


@dataclass(frozen=True, eq=False)
class Report:
    """What people are told of a plan; `checks` compares the outputs of a run with a reference, if there was one."""

    plan: Plan
    timeline: Timeline
    checks: tuple[Difference, ...] = ()

    @cached_property
    def rewrites(self) -> tuple[Rewrite, ...]:
        """What the plan would gain from operators that its accelerator refuses; solved for when first asked."""
        return rewrites_of(self.plan)

    @property
    def verdict(self) -> str:
        """The one sentence."""
        return verdict_of(Account(self.plan), self.timeline).sentence

    def save(self, path: str | Path) -> None:
        """Writes .html, .md, .json, or the timeline as .png, .svg or .pdf; OutputError for any other suffix."""
        write_atomically(path, FORMS[check_form(path)](self))


def check_form(path: str | Path) -> str:
    """The suffix of a path, one of FORMS; OutputError for any other."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMS:
        raise OutputError(f"cannot save a report as {str(path)!r}: its name must end in {', '.join(FORMS)}")
    return suffix


def _html(report: Report) -> bytes:
    return page(report.plan, report.timeline, report.checks, report.rewrites).encode()


def _markdown(report: Report) -> bytes:
    return markdown(report.plan, report.timeline, report.checks, report.rewrites).encode()


def _json(report: Report) -> bytes:
    document = plan_document(report.plan, report.timeline)
    document["checks"] = {difference.output: difference_document(difference) for difference in report.checks}
    document["rewrites"] = [rewrite_document(rewrite) for rewrite in report.rewrites]
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _figure(suffix: str) -> Callable[[Report], bytes]:
    return lambda report: figure_bytes(timeline_figure(report.plan, report.timeline), suffix)


FORMS: dict[str, Callable[[Report], bytes]] = {
    ".html": _html,
    ".md": _markdown,
    ".json": _json,
    ".png": _figure(".png"),
    ".svg": _figure(".svg"),
    ".pdf": _figure(".pdf"),
}
"""How each kind of file is made."""
