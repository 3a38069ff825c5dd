"""The page: complete, self-contained, small enough, and deaf to what names try to tell it."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings

from partita.graph.ir import Graph
from partita.graph.plan import Plan
from partita.kernels.compare import Difference
from partita.reports.page import page
from tests.reports.plans import Layer, layers, long_plan, mobile_plan, plan_of, timeline_of

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover='alert(3)' {{7*7}} \x1b \u202e"
ALLOWED_TAGS = frozenset((
    "html", "head", "meta", "title", "style", "body", "main", "header", "p", "b", "span", "h1",
    "h2", "dl", "dt", "dd", "div", "section", "i", "s", "table", "colgroup", "col", "thead",
    "tbody", "tr", "th", "td", "small", "svg", "defs", "pattern", "path", "marker", "g", "line",
    "text", "rect", "aside", "canvas", "code", "details", "summary", "input", "select", "option", "button", "script",
    "br",
))  # fmt: skip


class Reader(HTMLParser):
    """Collects tags, attributes and text; an attribute name that no template wrote is a leak."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.values: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.values += [value for _, value in attrs if value is not None]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


def page_of(plan: Plan) -> str:
    return page(plan, timeline_of(plan))


def hostile_plan() -> Plan:
    plan = plan_of([(HOSTILE, "cpu", HOSTILE, 900.0), ("Conv", "npu", "", 100.0)], name=HOSTILE, prefix=HOSTILE)
    soc = plan.soc_json.replace("Hexagon v75", "<b onload=x>").replace("Toy 8 Gen 3", "<script>x")
    titled = tuple(replace(baseline, title=HOSTILE) for baseline in plan.baselines)
    refused = tuple(replace(refusal, source=HOSTILE) for refusal in plan.refusals)
    return replace(
        plan, soc_json=soc, soc_name=HOSTILE, baselines=titled, refusals=refused, options={"pin": (HOSTILE,)}
    )


def test_the_first_screen_has_verdict_baselines_placement_and_certainty() -> None:
    text = read(page_of(mobile_plan())).text.replace("\u00a0", " ")
    for part in (
        "2.9x faster than the CPU alone", "Against simpler rules", "What runs where", "How sure is it?", "HiGHS 1.11",
        "50 operators in 38 kernels; six transfers between units", "5.74 ms to 8.86 ms",
    ):  # fmt: skip
        assert part in text
        assert text.index(part) < text.index("Timeline")


def test_every_operator_of_the_model_can_be_found_in_the_table() -> None:
    plan = mobile_plan()
    table = page_of(plan).split('id="ops"')[1]
    for operator in plan.operators:
        for name in operator.covers:
            assert re.search(rf">(\+ )?{re.escape(name)}<", table), name


def test_fallbacks_show_reason_source_and_cost() -> None:
    text = read(page_of(mobile_plan())).text
    assert "Transpose of rank 6: at most rank 5QNN op package, HTP v75, 2.26" in text
    assert "1.523" in text


def test_hostile_names_stay_text() -> None:
    reader = read(page_of(hostile_plan()))
    tame = read(page_of(mobile_plan()))
    assert set(reader.tags) <= ALLOWED_TAGS
    assert reader.tags.count("script") == tame.tags.count("script") == 2
    assert reader.attributes - tame.attributes <= {"checked"}
    assert not {name for name in reader.attributes if name.startswith("on")}
    assert "{{7*7}}" in reader.text


def test_control_and_direction_characters_are_shown_as_escapes() -> None:
    text = page_of(hostile_plan())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b \\u202e" in text


def test_the_page_loads_nothing() -> None:
    text = page_of(mobile_plan())
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)|\bsrc=|\bhref=|fetch\(|innerHTML|eval\(", text)


@pytest.mark.slow
def test_a_page_of_5000_operators_stays_below_3_mb() -> None:
    text = page_of(long_plan(5_000))
    assert len(text.encode()) < 3_000_000
    assert text.count("<tr") > 4_000


def test_the_same_plan_gives_the_same_page() -> None:
    assert page_of(mobile_plan()) == page_of(mobile_plan())


@settings(max_examples=30, deadline=None)
@given(layers())
def test_every_plan_has_a_page(chain: list[Layer]) -> None:
    assert set(read(page_of(plan_of(chain, fused=True))).tags) <= ALLOWED_TAGS


def test_a_plan_without_source_baselines_and_shapes_has_a_page() -> None:
    plan = mobile_plan()
    bare = Graph("bare", plan.graph.nodes, plan.graph.inputs, plan.graph.outputs, {})
    text = page_of(replace(plan, graph=bare, baselines=(), refusals=()))
    assert "made in memory" in text
    assert "? → ?" in text


def test_checks_of_a_run_are_shown() -> None:
    plan = mobile_plan()
    check = Difference(
        output="scores<",
        max_relative=0.0021,
        max_absolute=0.1,
        mean_relative=0.0004,
        snr_db=61.2,
        cosine=0.999999,
        top1_agrees=True,
    )
    text = page(plan, timeline_of(plan), (check,))
    assert "scores&lt;" in text
    assert "61.2 dB" in text
