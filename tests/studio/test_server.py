"""Studio over HTTP. Skipped where the extra [studio] is not installed."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from partita.devices.load import soc_from_text
from partita.errors import StudioError
from partita.studio.server import opened
from tests.studio.serving import ask, serving, solved
from tests.studio.sessions import small_session


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(small_session(tmp_path_factory.mktemp("studio"))) as port:
        yield port


def test_it_listens_to_this_machine_only() -> None:
    with opened(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with opened(0) as listener:
        listener.listen()
        with pytest.raises(StudioError, match="give another --port"):
            opened(listener.getsockname()[1])


@pytest.mark.parametrize("path", ["/", "/studio.css", "/studio.js", "/controls.js", "/graph.js", "/model"])
def test_everything_that_the_page_loads_is_there(port: int, path: str) -> None:
    status, text = ask(port, "GET", path)
    assert status == 200
    assert text


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/templates/studio.js", "/%2e%2e/x", "/studio.js/../x", "/model/x"]
)
def test_no_path_of_the_page_leads_to_a_file(port: int, path: str) -> None:
    assert ask(port, "GET", path)[0] == 404


@pytest.mark.parametrize("path", ["/", "/model", "/solve", "/operator", "/soc-file", "/study-file"])
def test_no_other_name_of_this_machine_is_answered(port: int, path: str) -> None:
    method = "GET" if path in ("/", "/model") else "POST"
    assert ask(port, method, path, {}, Host=f"rebound.example:{port}")[0] == 403


@pytest.mark.parametrize("path", ["/solve", "/operator", "/soc-file", "/study-file"])
def test_no_other_page_is_answered(port: int, path: str) -> None:
    assert ask(port, "POST", path, {}, Origin="http://evil.example")[0] == 403
    assert ask(port, "POST", path, {}, Content_Type="text/plain")[0] == 403


def test_solving_tells_what_it_does_and_then_the_placement(port: int) -> None:
    status, text = ask(port, "POST", "/solve", {"set": {"units.npu.call_us": 500.0}})
    *stages, last = [json.loads(line) for line in text.splitlines()]
    assert status == 200
    assert "looking for the best placement" in [line["stage"] for line in stages]
    placed = last["solved"]
    assert placed["value"].endswith(" ms")
    assert placed["latency_ms"] > solved(port, {})["solved"]["latency_ms"]
    assert placed["against"]["is_better"] is False
    assert "<svg" in placed["timeline"]
    assert len(placed["graph"]["unit"]) == 5
    assert len(placed["kernels"]) == max(placed["graph"]["kernel"]) + 1


def test_what_cannot_be_solved_is_told_in_the_page(port: int) -> None:
    assert "no number" in solved(port, {"set": {"nothing": 1.0}})["error"]
    assert "cannot do without 'cpu'" in solved(port, {"remove": ["cpu"]})["error"]
    wrong = solved(port, {"set": {"units.npu.bandwidth_gb_per_s": 0.0}})["error"]
    assert wrong == "units[npu].bandwidth_gb_per_s: must be above 0, is 0"
    assert "solved" in solved(port, {}), "and the next one is answered as ever"


def test_a_request_that_makes_no_sense_is_refused(port: int) -> None:
    assert ask(port, "POST", "/solve", {"path": "/etc/passwd"})[0] == 400
    assert ask(port, "POST", "/solve", {"set": {"x" * 100_000: 1.0}})[0] == 400
    assert ask(port, "POST", "/operator", {"index": 99})[0] == 400
    assert ask(port, "POST", "/operator", {"index": "1"})[0] == 400


def test_an_operator_is_told_with_every_unit_s_verdict(port: int) -> None:
    status, text = ask(port, "POST", "/operator", {"index": 2})
    told = json.loads(text)
    assert status == 200
    assert told["op"] == "Erf"
    verdicts = {answer["unit"]: answer["verdict"] for answer in told["answers"]}
    assert verdicts["npu"] == "unsupported"
    assert verdicts["cpu"] == "native"


def test_a_soc_file_is_handed_to_the_browser_and_not_written_here(port: int, tmp_path: Path) -> None:
    status, text = ask(port, "POST", "/soc-file", {"set": {"units.npu.call_us": 60.0}})
    file = json.loads(text)
    assert status == 200
    assert file["name"] == "small-studio.soc.toml"
    assert soc_from_text(file["text"], tmp_path / file["name"]).unit_named("npu").call_us.value == 60.0


def test_whoever_goes_away_leaves_studio_ready_for_the_next(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Origin": f"http://127.0.0.1:{port}", "Content-Type": "application/json"}
    connection.request("POST", "/solve", json.dumps({"lose": {"gpu": ["Conv"]}}), headers)
    connection.close()
    began = time.monotonic()
    assert "solved" in solved(port, {"set": {"units.npu.call_us": 61.0}})
    assert time.monotonic() - began < 20
