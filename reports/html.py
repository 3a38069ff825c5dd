"""What all pages share: how templates are read, and the colours of a style sheet."""

from collections.abc import Sequence

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from partita.reports import colours
from partita.reports.wording import printable

_PALETTE = {
    "accent": colours.ACCENT,
    "paper": colours.PAPER,
    "ink": colours.INK,
    "faint": colours.FAINT,
    "rule": colours.RULE,
    "panel": colours.PANEL,
    "bar": colours.BAR,
    "link": colours.LINK,
    "call": colours.CALL,
}


def templates(*packages: str) -> Environment:
    """The templates of the packages and of the reports, with autoescape; a name that one does not get is an error."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "templates") for package in (*packages, "partita.reports")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    return environment


def css_colours(kinds: Sequence[str] = (), *, dark: bool) -> str:
    """Custom properties: the page's colours by name, those of units of these kinds as --u0, --u1, ..."""
    named = [f"--{name}:{colour.on(dark=dark)}" for name, colour in _PALETTE.items()]
    return ";".join([*named, *(f"--u{i}:{colours.unit_colour(kind).on(dark=dark)}" for i, kind in enumerate(kinds))])
