"""Studio in a real browser. Skipped without the extra [studio] or without a Chromium."""

from collections.abc import Iterator

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from partita.devices import load_soc
from tests.studio.chromium import Page, browser, opened_page
from tests.studio.serving import serving
from tests.studio.sessions import small_session

pytestmark = [pytest.mark.slow, pytest.mark.skipif(browser() is None, reason="no Chromium here")]

SLIDER = "document.querySelector('[data-path=\"units.npu.call_us\"]')"
IDLE = "document.body?.dataset.state === 'idle'"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("studio")
    with serving(small_session(folder)) as port, opened_page(folder / "profile") as page:
        page.send("Page.navigate", url=f"http://127.0.0.1:{port}/")
        page.until(IDLE)
        yield page
        assert page.problems == []


@pytest.fixture(autouse=True)
def _as_it_was(page: Page) -> None:
    page.run("document.getElementById('reset').click()")
    settled(page)


def settled(page: Page) -> None:
    page.until(IDLE)


def text(page: Page, name: str) -> str:
    return str(page.run(f"document.getElementById('{name}').textContent"))


def move(page: Page, value: int) -> None:
    page.run(f"{SLIDER}.value = {value}; {SLIDER}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    settled(page)


def switch(page: Page, selector: str) -> None:
    page.run(f"document.querySelector('{selector}').click()")
    settled(page)


def test_moving_a_slider_changes_the_verdict_the_timeline_and_the_graph(page: Page) -> None:
    before = [text(page, name) for name in ("value", "timeline")]
    move(page, 400)
    after = [text(page, name) for name in ("value", "timeline")]
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert text(page, "against").endswith(f" the {before[0]} of sd8gen3-qnn")
    assert page.run("document.getElementById('against').className") == "worse"
    preset = load_soc("sd8gen3-qnn").unit_named("npu").call_us.value
    assert f"NPU: Call of a segment {preset:.4g} µs → 245 µs" in text(page, "changes")


def test_reset_brings_everything_back(page: Page) -> None:
    before = text(page, "value")
    move(page, 400)
    page.run("document.getElementById('reset').click()")
    settled(page)
    assert text(page, "value") == before
    assert page.run("location.hash") == ""
    assert page.run("document.getElementById('reset').disabled")


def test_a_unit_that_is_switched_off_is_not_told_of(page: Page) -> None:
    assert "NPU" in text(page, "shares")
    switch(page, "[data-unit=npu]")
    assert "NPU" not in text(page, "shares")
    assert "no NPU" in text(page, "changes")


def test_an_operator_that_is_switched_on_no_longer_falls_back(page: Page) -> None:
    assert "Erf" in text(page, "falls")
    switch(page, '[data-op="npu:Erf"]')
    assert "NPU takes Erf" in text(page, "changes")
    assert "Erf" not in text(page, "falls")


def test_an_operator_that_is_switched_off_runs_elsewhere_until_it_is_switched_on_again(page: Page) -> None:
    before = text(page, "sentence")
    switch(page, '[data-op="npu:Conv"]')
    assert "NPU without Conv" in text(page, "changes")
    assert text(page, "sentence") != before
    switch(page, '[data-op="npu:Conv"]')
    assert text(page, "sentence") == before


def test_a_key_moves_a_slider_and_its_value_is_said_with_its_unit(page: Page) -> None:
    before = text(page, "value")
    page.run(f"{SLIDER}.focus()")
    for _ in range(6):
        page.press("PageUp", 33)
    settled(page)
    assert text(page, "value") != before
    assert str(page.run(f"{SLIDER}.getAttribute('aria-valuetext')")).endswith(" µs")


def test_what_cannot_be_is_told_in_the_page_and_goes_with_its_cause(page: Page) -> None:
    field = "document.querySelector('[aria-label=\"Bandwidth alone, in GB/s\"]')"
    page.run(f"{field}.value = 0; {field}.dispatchEvent(new Event('change', {{bubbles: true}}))")
    settled(page)
    assert "above 0" in text(page, "error")
    page.run("document.getElementById('reset').click()")
    settled(page)
    assert page.run("document.getElementById('error').hidden")


def test_the_address_keeps_the_changes_over_a_reload(page: Page) -> None:
    move(page, 400)
    moved = text(page, "value")
    page.run("delete document.body.dataset.state")
    page.send("Page.reload")
    settled(page)
    assert text(page, "value") == moved


def test_of_many_moves_only_the_last_is_shown(page: Page) -> None:
    for value in range(150, 400, 10):
        page.run(f"{SLIDER}.value = {value}; {SLIDER}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    settled(page)
    last = text(page, "value")
    move(page, 200)
    move(page, 390)
    assert text(page, "value") == last


def test_the_narrow_page_is_no_wider_than_the_screen(page: Page) -> None:
    page.send("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    assert page.run("document.documentElement.scrollWidth") <= 390
    page.send("Emulation.clearDeviceMetricsOverride")
