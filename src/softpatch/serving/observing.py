"""What can be seen of the service: events, metrics, and both of them around every request."""

from __future__ import annotations

import logging
import time
import traceback
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from softpatch.serving.log_lines import LOGGER

# Labels of a metric; what is bad keeps the one that dashboards have known before.
VERDICTS = {"good": "good", "look": "look", "bad": "anomalous", None: "none"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # without a referrer some browsers withhold the origin
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Prometheus metrics of one service; labels take few values: models, routes, verdicts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory, processor time, open files
        counter = partial(Counter, registry=self._registry, namespace="softpatch")
        histogram = partial(Histogram, registry=self._registry, namespace="softpatch")
        gauge = partial(Gauge, registry=self._registry, namespace="softpatch")
        self.requests = counter("requests", "Requests answered.", ["method", "route", "status"])
        self.seconds = histogram("request_seconds", "From a request to its answer.", ["route"])
        self.pictures = counter("pictures", "Pictures scored.", ["model", "verdict"])
        sizes = (1, 2, 4, 8, 16, 32)
        self.batches = histogram("batch_pictures", "Pictures scored together.", buckets=sizes)
        self.loads = counter("model_loads", "Model files loaded again.", ["model", "result"])
        self.waiting = gauge("waiting_pictures", "Pictures that wait or are being scored.")

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class Observed:
    """Middleware: a log line, metrics and security headers; errors nobody handled become 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0
        started = time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except Exception as error:
            log_failure(error)
            if not status:
                await JSONResponse({"detail": "internal error"}, 500)(scope, receive, answer)
        seconds = time.perf_counter() - started
        # The route's pattern and known methods only: clients must not be able to invent labels.
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        about = scope.get("state", {}).get("about", {})
        log("request", method=method, route=route, status=status, ms=round(1000 * seconds), **about)


def log(event: str, level: int = logging.INFO, **fields: object) -> None:
    """Log an event with its fields; never the content of a picture."""
    LOGGER.log(level, event, extra={"fields": fields})


def log_failure(error: BaseException, **fields: object) -> None:
    """Log an error by type and place; its message may contain what a client sent."""
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    log("failed", logging.ERROR, error=type(error).__name__, at=frames, **fields)
