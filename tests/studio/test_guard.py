"""Requests that do not come from Studio's own page are refused before anything looks at them."""

import asyncio
from typing import Any

import pytest

from partita.studio.guard import Guard, Message, Receive, Scope, Send, refusal

PORT = 8123
HOST = f"127.0.0.1:{PORT}"
OURS = {"host": HOST, "origin": f"http://{HOST}", "content-type": "application/json", "sec-fetch-site": "same-origin"}


def test_our_own_page_may_ask_for_everything() -> None:
    assert refusal("POST", OURS, PORT) is None
    assert refusal("POST", {**OURS, "content-type": "application/json; charset=utf-8"}, PORT) is None
    assert refusal("GET", {"host": f"localhost:{PORT}"}, PORT) is None
    assert refusal("GET", {"host": HOST, "sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, PORT) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        "127.0.0.1:1",
        f"127.0.0.1.evil.example:{PORT}",
        "",
        "0.0.0.0",
    ],
)
def test_a_name_that_is_not_ours_is_refused_whatever_it_leads_to(host: str) -> None:
    for method in ("GET", "POST"):
        assert "Host" in (refusal(method, {**OURS, "host": host, "origin": f"http://{host}"}, PORT) or "")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", f"https://{HOST}", "http://127.0.0.1:1", f"http://{HOST}.evil"]
)
def test_work_is_done_for_our_own_page_only(origin: str) -> None:
    assert "Origin" in (refusal("POST", {**OURS, "origin": origin}, PORT) or "")
    assert "Origin" in (refusal("GET", {**OURS, "origin": origin}, PORT) or "")


def test_a_request_for_work_says_where_it_comes_from() -> None:
    without = {name: value for name, value in OURS.items() if name != "origin"}
    assert "Origin" in (refusal("POST", without, PORT) or "")


def test_a_form_of_another_site_cannot_ask_for_work() -> None:
    """Forms send only these types without asking first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        assert "application/json" in (refusal("POST", {**OURS, "content-type": kind}, PORT) or "")


def test_another_site_cannot_embed_what_studio_says() -> None:
    embedded = {"host": HOST, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert "another site" in (refusal("GET", embedded, PORT) or "")
    assert refusal("GET", {**embedded, "sec-fetch-mode": "navigate"}, PORT) is None, "a link may lead here"


def answered(*headers: tuple[bytes, bytes], method: str = "GET", kind: str = "http") -> tuple[list[Message], bool]:
    """What the guard sends, and whether the application behind it was asked."""
    sent: list[Message] = []
    asked = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal asked
        asked = True
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": kind, "method": method, "headers": list(headers)}
    asyncio.run(Guard(app, PORT)(scope, receive, send))
    return sent, asked


def test_what_is_refused_never_reaches_the_application() -> None:
    sent, asked = answered((b"host", b"evil.example"))
    assert not asked
    assert sent[0]["status"] == 403
    assert b"evil.example" in sent[1]["body"]


def test_two_hosts_are_refused_even_if_one_is_ours() -> None:
    sent, asked = answered((b"host", HOST.encode()), (b"Host", b"evil.example"))
    assert not asked
    assert sent[0]["status"] == 403


def test_web_sockets_which_no_origin_holds_back_are_not_there() -> None:
    assert answered((b"host", HOST.encode()), kind="websocket") == ([], False)


def test_every_answer_forbids_the_page_to_load_from_elsewhere() -> None:
    sent, asked = answered((b"host", HOST.encode()))
    headers = dict(sent[0]["headers"])
    assert asked
    assert b"default-src 'none'" in headers[b"content-security-policy"]
    assert b"unsafe-eval" not in headers[b"content-security-policy"]
    assert headers[b"cross-origin-resource-policy"] == b"same-origin"
    assert headers[b"x-content-type-options"] == b"nosniff"
