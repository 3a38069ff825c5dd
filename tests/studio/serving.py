"""Studio on a free port for the time of a test, answered by another thread."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from partita.studio.session import Session


@contextmanager
def serving(session: Session) -> Iterator[int]:
    """The port. Needs the extra [studio]."""
    import uvicorn

    from partita.studio.server import guarded, opened

    listener = opened(0)
    port: int = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(guarded(session, port, lambda: server.should_exit), log_level="error", lifespan="off", ws="none")
    )
    listener.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def ask(port: int, method: str, path: str, content: Any = None, **headers: str) -> tuple[int, str]:
    """Status and text of the answer to a request as Studio's own page sends it, but for what `headers` say."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    own = {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}", "Content-Type": "application/json"}
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    body = json.dumps(content).encode() if content is not None else None
    try:
        connection.request(method, path, body, own | given)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def solved(port: int, settings: Any) -> Any:
    """The last line of what `/solve` says."""
    status, text = ask(port, "POST", "/solve", settings)
    assert status == 200, text
    return json.loads(text.splitlines()[-1])
