"""Who gets in: requests by a name of this service, from pages that may, while there is room."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from softpatch.serving.origins import is_own_host, is_own_origin

RETRY = {"Retry-After": "1"}


class Gate:
    """Middleware that answers the others itself, before anything of them is read."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str], origins: Sequence[str]) -> None:
        self.app = app
        self.hosts = hosts
        self.origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or not."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        if scope.get("state", {}).get("crowded"):
            return JSONResponse({"detail": "too many connections"}, 503, RETRY)
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        # A browser cannot make up the address that a connection arrives at.
        arrived = [scope["server"][0]] if scope.get("server") else []
        if len(hosts) != 1 or not is_own_host(hosts[0], [*self.hosts, *arrived]):
            return _refused(421, "the header Host names another service", "host", "NAME")
        for origin in origins:
            if not (is_own_origin(origin, hosts[0]) or origin in self.origins):
                return _refused(403, "a page of another origin", "origin", "ORIGIN")
        return None


def _refused(status: int, what: str, option: str, value: str) -> JSONResponse:
    detail = f"{what}; softpatch serve --allow-{option} {value} lets it in"
    return JSONResponse({"detail": detail}, status)
