"""The ASGI application: its routes, and the state that lives as long as it does."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response, Security
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import APIKeyHeader
from starlette.types import Receive

from softpatch._version import __version__
from softpatch.errors import ImageError, ModelFileError, UnusableImageError
from softpatch.images.apart import Apart
from softpatch.images.sources import READERS
from softpatch.serving.gate import RETRY, Gate
from softpatch.serving.models import Models, Served
from softpatch.serving.observing import VERDICTS, Metrics, Observed, log
from softpatch.serving.records import Detection, Model, NotJudged, Problem, Result, Status, in_text
from softpatch.serving.scoring import FullError, Results, ScoringQueue
from softpatch.serving.settings import ServerSettings
from softpatch.serving.uploads import FIELD, Arriving, Upload, read_uploads

KEY = "X-API-Key"
DETECT = "/models/{name}/detect"
DECODERS = min(4, READERS)  # processes of 40 MB each
DECODE_SECONDS = 60.0
PICTURES = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: PICTURES}}
PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


@dataclass(frozen=True)
class Service:
    """State shared by the routes."""

    models: Models
    settings: ServerSettings
    queue: ScoringQueue
    arriving: Arriving
    apart: Apart
    metrics: Metrics


def create_app(models: Models, settings: ServerSettings | None = None) -> FastAPI:
    """The service as an ASGI application; while it runs it scores and watches the model files."""
    settings = settings or ServerSettings()
    metrics = Metrics()
    queue = ScoringQueue(settings.queue, metrics.batches.observe)
    metrics.waiting.set_function(lambda: queue.waiting)
    app = FastAPI(
        title="softpatch",
        description="Visual anomaly detection: pictures in, verdicts out.",
        version=__version__,
        docs_url=None,  # these pages load scripts from other hosts
        redoc_url=None,
        responses=_problems(403, 421, 503),  # by the gate
        lifespan=_running,
    )
    app.state.service = Service(
        models,
        settings,
        queue,
        Arriving(max(settings.waiting_bytes, settings.max_bytes)),
        Apart(DECODERS, DECODE_SECONDS),
        metrics,
    )
    app.include_router(open_to_all)
    app.include_router(protected)
    for path, (name, kind) in PAGE.items():
        content = files("softpatch.serving").joinpath("page", name).read_bytes()
        app.add_api_route(path, _fixed(content, kind), include_in_schema=False)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=[KEY],
        )
    app.openapi = partial(_openapi, app, settings.max_pictures)  # type: ignore[method-assign]
    app.add_middleware(Gate, hosts=settings.allowed_hosts, origins=settings.allowed_origins)
    app.add_middleware(Observed, metrics=metrics)
    return app


def _openapi(app: FastAPI, most: int) -> dict[str, Any]:
    """The description of the routes, with how many pictures this service takes."""
    described = FastAPI.openapi(app)
    form = described["paths"][DETECT]["post"]["requestBody"]["content"]["multipart/form-data"]
    form["schema"] = {**FORM, "properties": {FIELD: {**PICTURES, "maxItems": most}}}
    return described


def _fixed(content: bytes, kind: str) -> Any:
    async def page() -> Response:
        return Response(content, media_type=kind)

    return page


@contextlib.asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    service.queue.start()
    watching = asyncio.create_task(_reload_changed(service))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.to_thread(service.queue.close)
        await asyncio.to_thread(service.apart.close)


async def _reload_changed(service: Service) -> None:
    """Reload model files that have changed, for as long as the service runs."""
    while True:
        await asyncio.sleep(service.settings.look_seconds)
        for name in await asyncio.to_thread(service.models.changed):
            with contextlib.suppress(ModelFileError):  # it has been logged
                await _reloaded(service, name)


async def _reloaded(service: Service, name: str) -> Served:
    try:
        served = await service.models.reload(name)
    except ModelFileError as error:
        service.metrics.loads.labels(name, "failed").inc()
        log("model kept", logging.ERROR, model=name, problem=str(error))
        raise
    service.metrics.loads.labels(name, "loaded").inc()
    log("model loaded", model=name)
    return served


async def _service(request: Request) -> Service:  # async: FastAPI runs others in a thread each
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]


async def _admit(
    service: Serving,
    key: Annotated[
        str | None,
        Security(APIKeyHeader(name=KEY, auto_error=False, description="if it wants one")),
    ],
) -> None:
    expected = service.settings.api_key
    # In constant time, so that the time taken does not reveal how much of a key is right.
    if expected is not None and not hmac.compare_digest((key or "").encode(), expected.encode()):
        raise HTTPException(401, f"needs the API key in the header {KEY}")


async def _named(name: str, service: Serving) -> Served:
    served = service.models.get(name)
    if served is None:
        raise HTTPException(404, "no such model")
    return served


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": Problem} for code in codes}


open_to_all = APIRouter()
protected = APIRouter(dependencies=[Depends(_admit)], responses=_problems(401))


@open_to_all.get("/health")
async def health() -> Status:
    """Whether the process answers."""
    return Status(status="ok")


@open_to_all.get("/ready", responses=_problems(503))
async def ready(service: Serving) -> Status:
    """Whether it would take a picture now."""
    if not service.queue.alive:
        raise HTTPException(503, "does not score")
    if service.queue.waiting >= service.settings.queue:
        raise _busy()
    return Status(status="ok")


@open_to_all.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
)
async def metrics(service: Serving) -> PlainTextResponse:
    """Counters and times, for Prometheus."""
    return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4")


@protected.get("/models")
async def list_models(service: Serving) -> list[Model]:
    """What is served."""
    return [Model.of(served) for served in service.models]


@protected.post("/models/{name}/reload", responses=_problems(404, 409))
async def reload(served: Annotated[Served, Depends(_named)], service: Serving) -> Model:
    """Load the model's file again; a changed file is loaded without this."""
    try:
        return Model.of(await _reloaded(service, served.name))
    except ModelFileError as error:
        raise HTTPException(409, f"the one before is served on: {error}") from error


@protected.post(
    DETECT,
    response_model=Detection,
    responses={**_problems(400, 404, 408, 413, 503), 422: {"model": NotJudged}},
    openapi_extra={
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}
    },
)
async def detect(
    request: Request,
    served: Annotated[Served, Depends(_named)],
    service: Serving,
    draw: Annotated[
        Literal["png"] | None, Query(alias="map", description="also give AnomalyMask")
    ] = None,
    show: Annotated[
        Literal["jpeg"] | None, Query(alias="picture", description="also give Picture")
    ] = None,
) -> Detection | JSONResponse:
    """Score pictures. All of them can be decoded, or none is scored."""
    if service.queue.waiting >= service.settings.queue:
        raise _busy()  # before the request is read
    try:
        with service.arriving.request() as count:
            read = await read_uploads(request, service.settings, count, service.apart)
            uploads = [upload for upload, _ in read]
            request.state.about = {
                "model": served.name,
                "pictures": len(uploads),
                "bytes": sum(len(upload.content) for upload in uploads),
            }
            scoring = service.queue.score(
                served.detector,
                [picture for _, picture in read],
                request.client.host if request.client else "",
            )
            scored = await _unless_left(request, scoring)
            seen = service.apart if show else None
            results = await asyncio.to_thread(_records, uploads, scored, served, bool(draw), seen)
    except FullError as error:
        raise _busy() from error
    except MemoryError as error:
        raise HTTPException(503, "out of memory; send fewer or smaller pictures") from error
    if isinstance(results, NotJudged):
        return JSONResponse(results.model_dump(exclude_none=True), 422)
    for result in results:
        service.metrics.pictures.labels(served.name, VERDICTS[result.verdict]).inc()
    request.state.about["verdicts"] = Counter(one.verdict for one in results if one.verdict)
    return Detection(model=served.name, results=results)


def _records(
    uploads: Sequence[Upload], scored: Results, served: Served, drawn: bool, seen: Apart | None
) -> list[Result] | NotJudged:
    """One a picture; with the picture as it was seen, which ``seen`` decodes again, unless None."""
    results = []
    for upload, one in zip(uploads, scored, strict=True):
        name, intensity = upload.name, served.detector.features.intensity
        try:
            if isinstance(one, ImageError) and not isinstance(one, UnusableImageError):
                raise one
            picture = in_text(seen.seen_as_jpeg(upload.content, name, intensity)) if seen else None
        except ImageError as error:
            raise HTTPException(400, f"{name}: {error.reason}") from error
        if isinstance(one, UnusableImageError):
            return NotJudged(detail=f"{name}: not judged: it {one.reason}", picture=picture)
        results.append(Result.of(one, name, served, drawn=drawn, picture=picture))
    return results


async def _unless_left(request: Request, work: Coroutine[Any, Any, Results]) -> Results:
    """Do work for a client, and give it up when the client leaves."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(400, "the client left")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _busy() -> HTTPException:
    return HTTPException(503, "too many pictures wait", RETRY)
