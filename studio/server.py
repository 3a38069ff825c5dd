"""Studio on a port of this machine: the page, what it asks for, and the one thread that solves.

The only importer of Starlette and uvicorn, which the extra [studio] brings.
"""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from partita.errors import PartitaError, StudioError
from partita.partitioner.program import interruptible
from partita.reports.wording import printable
from partita.studio import saving, view
from partita.studio.guard import App, Guard
from partita.studio.session import Session, Solved
from partita.studio.settings import MOST_BYTES, Settings

ADDRESS = "127.0.0.1"
SCRIPTS = {"/studio.js": "studio.js", "/controls.js": "controls.js", "/graph.js": "studio_graph.js"}
"""Files by address: no name that the page sends becomes a path."""
GONE_S = 0.3
"""How often it is asked whether whoever waits for a placement is still there."""
T = TypeVar("T")


class OutdatedError(Exception):
    """Whoever asked has gone, or has asked for something else."""


@dataclass(frozen=True)
class Studio:
    """A session and the thread that works for it."""

    session: Session
    is_closing: Callable[[], bool]
    """Whether the server is about to end: nobody is answered any further."""
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "studio"))

    async def ask(self, work: Callable[[], T]) -> T:
        """What `work` gives when it has been its turn on the thread."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, work)

    async def page(self, _: Request) -> Response:
        return Response(view.page(self.session), media_type="text/html")

    async def script(self, request: Request) -> Response:
        return Response(view.script(SCRIPTS[request.url.path]), media_type="text/javascript")

    async def style_sheet(self, _: Request) -> Response:
        return Response(view.style_sheet(self.session.soc), media_type="text/css")

    async def model(self, _: Request) -> Response:
        try:
            return JSONResponse(await self.ask(lambda: view.model_document(self.session)))
        except PartitaError as error:
            return _failed(error)

    async def solve(self, request: Request) -> Response:
        """Lines of JSON: what is being done, then the placement or an error."""
        try:
            settings = Settings.from_json(await _body(request))
        except PartitaError as error:
            return _failed(error)
        return StreamingResponse(self._progress(request, settings), media_type="application/x-ndjson")

    async def _progress(self, request: Request, settings: Settings) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        gone = threading.Event()

        def tell(message: dict[str, Any] | None) -> None:
            with suppress(RuntimeError):  # the loop has ended with the server
                loop.call_soon_threadsafe(told.put_nowait, message)

        def heed(stage: str) -> None:
            if gone.is_set():
                raise OutdatedError
            tell({"stage": stage})

        self.thread.submit(self._work, settings, heed, tell, gone.is_set).add_done_callback(_log_failure)
        try:
            while not (self.is_closing() or await request.is_disconnected()):
                with suppress(TimeoutError):
                    message = await asyncio.wait_for(told.get(), GONE_S)
                    if message is None:
                        return
                    yield json.dumps(message, allow_nan=False) + "\n"
        finally:
            gone.set()

    def _work(
        self, settings: Settings, heed: Callable[[str], None], tell: Callable[[Any], None], is_gone: Callable[[], bool]
    ) -> None:
        session = self.session

        def first(solved: Solved) -> None:
            heed("drawing a first placement")
            tell({"first": view.solved_document(session, solved, session.known_reference(settings))})
            heed("proving which placement is best")

        try:
            heed("reading what has changed")
            with interruptible(is_gone):
                solved = session.solve(settings, heed, first)
            heed("drawing")
            tell({"solved": view.solved_document(session, solved, session.reference(settings))})
        except PartitaError as error:
            tell({"error": _text(error)})
        except OutdatedError:
            pass
        finally:
            tell(None)

    async def operator(self, request: Request) -> Response:
        try:
            asked = await _asked(request)
            index = int(asked.pop("index", -1))
            settings = Settings.from_json(json.dumps(asked).encode())
            if not 0 <= index < len(self.session.graph.nodes):
                raise StudioError("the model has no such operator; reload the page")
            session = self.session
            return JSONResponse(await self.ask(lambda: view.operator_document(session, session.solve(settings), index)))
        except PartitaError as error:
            return _failed(error)

    async def soc_file(self, request: Request) -> Response:
        session = self.session
        return await self._file(
            request,
            ".soc.toml",
            lambda s: saving.soc_text(session.soc, session.soc_name, s, f"{session.soc.name}-studio"),
        )

    async def study_file(self, request: Request) -> Response:
        session = self.session
        return await self._file(
            request, ".study.toml", lambda settings: saving.study_text(session.model, session.soc_name, settings)
        )

    async def _file(self, request: Request, ending: str, text: Callable[[Settings], str]) -> Response:
        """A file for the browser to save; nothing is written here."""
        try:
            settings = Settings.from_json(await _body(request)).checked(self.session.soc)
            content = await self.ask(lambda: text(settings))
        except PartitaError as error:
            return _failed(error)
        return JSONResponse({"name": saving.file_name(self.session.model.title, ending), "text": content})

    @property
    def app(self) -> Starlette:
        pages = (("/", self.page), ("/studio.css", self.style_sheet), *((path, self.script) for path in SCRIPTS))
        answers = (
            ("/solve", self.solve),
            ("/operator", self.operator),
            ("/soc-file", self.soc_file),
            ("/study-file", self.study_file),
        )
        return Starlette(
            routes=[
                *(Route(path, given, methods=["GET"]) for path, given in (*pages, ("/model", self.model))),
                *(Route(path, given, methods=["POST"]) for path, given in answers),
            ]
        )


def _log_failure(done: Future[None]) -> None:
    """What nobody waits for is told on the terminal."""
    if not done.cancelled() and (error := done.exception()) is not None:
        logging.getLogger(__name__).error("a request failed", exc_info=error)


async def _body(request: Request) -> bytes:
    """StudioError if it is longer than any settings are."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise StudioError(f"a request has at most {MOST_BYTES} bytes")
    return body


async def _asked(request: Request) -> dict[str, Any]:
    try:
        asked = json.loads(await _body(request))
    except ValueError:
        asked = None
    if not isinstance(asked, dict) or not isinstance(asked.get("index"), int):
        raise StudioError("this is not what the page sends: index is missing")
    return asked


def _failed(error: PartitaError) -> JSONResponse:
    return JSONResponse({"error": _text(error)}, status_code=400)


def _text(error: PartitaError) -> str:

    return printable(" ".join(str(error).split()))


def opened(port: int) -> socket.socket:
    """A socket on this machine only; any free port if it is 0. StudioError if the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise StudioError(f"port {port} of {ADDRESS} cannot be used: {reason.lower()}; give another --port") from None
    return listener


def guarded(session: Session, port: int, is_closing: Callable[[], bool]) -> App:
    """Studio as an ASGI application that answers on one port until `is_closing`."""
    return Guard(Studio(session, is_closing).app, port)


def serve(session: Session, listener: socket.socket, ready: Callable[[str], None]) -> None:
    """Answers until it is stopped; `ready` is told the address when the socket listens."""
    port = listener.getsockname()[1]

    def is_closing() -> bool:
        return server.should_exit

    config = uvicorn.Config(
        guarded(session, port, is_closing),
        log_level="error",
        lifespan="off",
        server_header=False,
        ws="none",
    )
    server = uvicorn.Server(config)
    listener.listen()
    ready(f"http://{ADDRESS}:{port}/")
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
