"""The page as an application: addresses, answers, and the one thread that asks the ledger."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from daemon.ledger import LedgerError
from daemon.text import clean
from daemon.web import diffs, words
from daemon.web.doctor import Doctor
from daemon.web.guard import Guard
from daemon.web.pulse import Pulse, facts
from daemon.web.settings import Facts
from daemon.web.views import NotThere, Views
from daemon.web.written import Notebook

TABS = (
    ("now", "/", "Now"),
    ("progress", "/progress", "Progress"),
    ("experiments", "/experiments", "Experiments"),
    ("notebook", "/notebook", "Notebook"),
    ("program", "/program", "Program"),
    ("system", "/system", "System"),
)
ASSETS = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "inter.woff2": "font/woff2",
    "mono.woff2": "font/woff2",
}
MAX_NUMBER_DIGITS = 9


def build(lab: Facts, doctor: Doctor | None = None, ending: Callable[[], bool] = lambda: False) -> Guard:
    """The application of one lab, behind its guard. ``ending`` says when those who listen must be let go."""
    page = Page(lab, doctor or Doctor(lab.directory), ending)
    routes = [
        Route("/", page.view("now")),
        *(Route(f"/{name}", page.view(name)) for name in ("progress", "experiments", "program", "system")),
        Route("/notebook", page.notebook),
        Route("/progress/points.json", page.points),
        Route("/experiments/{number}", page.experiment),
        Route("/experiments/{number}/brief.json", page.brief),
        Route("/live", page.live),
        Route("/assets/{name}", page.asset),
    ]
    handlers: Mapping[Any, Any] = {
        HTTPException: page.on_http,
        NotThere: page.on_missing,
        LedgerError: page.on_ledger,
        Exception: page.on_mistake,
    }
    names = (lab.host, *lab.hosts)
    return Guard(Starlette(routes=routes, exception_handlers=handlers), names=names, token=lab.token)


class Page:
    """The handlers. Everything that reads the ledger runs in one thread, so that the event loop stays free."""

    def __init__(self, lab: Facts, doctor: Doctor, ending: Callable[[], bool]) -> None:
        self._lab, self._doctor, self._views = lab, doctor, Views(lab)
        self._pulse = Pulse(lab.ledger, self._views.live, ending)
        self._thread = ThreadPoolExecutor(1, "views")
        self._notebook = Notebook(lab.ledger, Path(lab.state))
        folder = files("daemon.web") / "assets"
        self._assets = {name: (folder / name).read_bytes() for name in ASSETS}
        self._templates = _templates(lab)
        diffs.coloured("pass")  # a quarter of a second of regular expressions, before the first visitor comes

    def view(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        """The handler of a plain view."""

        async def handler(request: Request) -> Response:
            extra = {"doctor": self._doctor.told()} if name == "system" else {}
            return await self._answer(name, partial(getattr(self._views, name), request.query_params), extra)

        return handler

    async def experiment(self, request: Request) -> Response:
        number = _number(request)
        return await self._answer("experiment", partial(self._views.experiment, number))

    async def notebook(self, _request: Request) -> Response:
        moved = await self._ask(self._views.moved)
        text, behind = await self._notebook.text(moved)
        return await self._answer("notebook", lambda: {"notebook": text, "behind": behind})

    async def points(self, request: Request) -> Response:
        return JSONResponse(await self._ask(partial(self._views.points, request.query_params)), headers=_FRESH)

    async def brief(self, request: Request) -> Response:
        return JSONResponse(await self._ask(partial(self._views.brief, _number(request))), headers=_FRESH)

    async def live(self, _request: Request) -> Response:
        if self._pulse.is_full:
            raise HTTPException(503, "too many pages are open; this one shows no changes until it is loaded again")
        return StreamingResponse(self._pulse.events(), media_type="text/event-stream", headers=_FRESH)

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ASSETS:
            raise NotThere("there is nothing at this address")
        lasts = name.endswith(".woff2") or request.query_params.get("v") == _VERSION
        seconds = 86_400 if lasts else 60
        headers = {"cache-control": f"private, max-age={seconds}"}
        return Response(self._assets[name], media_type=ASSETS[name], headers=headers)

    async def on_http(self, request: Request, error: HTTPException) -> Response:
        text = "there is nothing at this address" if error.status_code == 404 else clean(error.detail, 300)
        return await self._complain(request, error.status_code, text)

    async def on_missing(self, request: Request, error: NotThere) -> Response:
        return await self._complain(request, 404, str(error))

    async def on_ledger(self, request: Request, error: LedgerError) -> Response:
        return await self._complain(request, 503, clean(str(error), 300))

    async def on_mistake(self, request: Request, _error: Exception) -> Response:
        return await self._complain(request, 500, "this view failed; the process that serves it has logged why")

    async def _ask(self, gather: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, gather)

    async def _answer(
        self,
        name: str,
        gather: Callable[[], Mapping[str, Any]],
        extra: Mapping[str, Any] | None = None,
    ) -> Response:
        def work() -> tuple[str, float]:
            began = time.perf_counter()
            text = self._render(name, {"empty": False, **gather(), **(extra or {})})
            return text, 1000 * (time.perf_counter() - began)

        text, milliseconds = await self._ask(work)
        return HTMLResponse(text, headers={**_FRESH, "server-timing": f"view;dur={milliseconds:.1f}"})

    def _render(self, name: str, context: Mapping[str, Any]) -> str:
        now = facts(self._views.live())
        return self._templates.get_template(f"{name}.html").render(context, view=name, live=now, at=time.time())

    async def _complain(self, request: Request, status: int, text: str) -> Response:
        if request.url.path.endswith(".json"):
            return JSONResponse({"error": text}, status, headers=_FRESH)
        body = await self._ask(partial(self._render, "error", {"status": status, "text": text}))
        return HTMLResponse(body, status, headers=_FRESH)


_FRESH = {"cache-control": "no-store"}
_VERSION = version("autoresearchd")


def _number(request: Request) -> int:
    text = str(request.path_params["number"])
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS):
        raise NotThere("there is no such experiment")
    return int(text)


def _templates(lab: Facts) -> Environment:
    """All of them, compiled before the first visitor comes; text is escaped wherever it stands."""
    made = Environment(
        loader=PackageLoader("daemon.web"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(words.FILTERS)
    made.globals.update(
        tabs=TABS,
        tag=lab.tag,
        version=_VERSION,
        unix=words.unix,
        between=words.between,
        python=platform.python_version(),
        kernel=f"{platform.system()} {platform.release()}",
    )
    for name in made.list_templates():
        made.get_template(name)
    return made
