"""Who may talk to Studio: pages that Studio itself gave to a browser on this machine, and nobody else.

A page of another site can make a browser send requests to this machine, and by DNS rebinding even under a name of its
own that leads here. So a request must be addressed to this machine by one of its own names (`Host`), and one that
asks for work must come from our own page (`Origin`), which a browser fills in and no page can forge.
Source: OWASP, Cross-Site Request Forgery Prevention Cheat Sheet, "Verifying Origin with Standard Headers".
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

LOOPBACK = ("127.0.0.1", "localhost")
HARMLESS = ("GET", "HEAD")
OUR_OWN = ("same-origin", "none")
"""What a browser's `Sec-Fetch-Site` says of requests by our own page, or by a person who typed the address."""
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


def refusal(method: str, headers: Mapping[str, str], port: int) -> str | None:
    """Why a request is refused; None if it is not. Names of headers are in lower case."""
    hosts = [f"{name}:{port}" for name in LOOPBACK]
    host = headers.get("host", "")
    if host.lower() not in hosts:
        return f"Host is {host!r}; Studio answers to {', '.join(hosts)} only"
    site = headers.get("sec-fetch-site", "none")
    if site not in OUR_OWN and not (method in HARMLESS and headers.get("sec-fetch-mode") == "navigate"):
        return f"the request comes from another site (Sec-Fetch-Site is {site!r})"
    origin = headers.get("origin")
    if origin is None and method in HARMLESS:
        return None
    if origin != f"http://{host}":
        return f"Origin is {origin!r}; Studio serves its own page only"
    if method not in HARMLESS and headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return "requests are sent as application/json"
    return None


class Guard:
    """An ASGI application that lets only its own page through to the one behind it, and seals what goes out."""

    def __init__(self, app: App, port: int) -> None:
        self.app, self.port = app, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        why = _twice(scope) or refusal(scope["method"], _headers(scope), self.port)
        if why is not None:
            await _refuse(send, why)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        await self.app(scope, receive, sealed)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _twice(scope: Scope) -> str | None:
    """Two values for one of these would leave open which one counts."""
    names = [name.lower() for name, _ in scope["headers"]]
    repeated = [name for name in (b"host", b"origin", b"content-type") if names.count(name) > 1]
    return f"{repeated[0].decode()} is given twice" if repeated else None


async def _refuse(send: Send, why: str) -> None:
    body = f"refused: {why}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
