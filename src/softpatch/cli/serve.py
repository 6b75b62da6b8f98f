"""``softpatch serve``: models as a service, with a page."""

from __future__ import annotations

import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from softpatch.cli import options
from softpatch.cli.options import argument, option
from softpatch.cli.terminal import note
from softpatch.errors import MissingExtraError, UsageError

who = partial(option, panel="Who may use it")
limit = partial(option, panel="Limits")


def serve(
    models: list[str] = argument(
        "Files written by softpatch fit, served under their name or as NAME=FILE.",
        metavar="MODELS...",
    ),
    host: str = option(
        "Address to listen at; 0.0.0.0 lets other machines in.", default="127.0.0.1"
    ),
    port: int = option("Port; 0 takes a free one.", default=8000),
    api_key: str | None = who(
        "Requests must bring it in the header X-API-Key.  [$SOFTPATCH_API_KEY; none needed]"
    ),
    allow_host: list[str] = who(
        "A name by which the service is asked for, beside --host, the address that a connection "
        "arrives at, and localhost; more than once for several.",
        default=[],
    ),
    allow_origin: list[str] = who(
        "Whose pages may use the service, beside its own: https://mes.example.", default=[]
    ),
    max_bytes: int = limit("Of a request.", default=20_000_000),
    max_pixels: int = limit("Of a picture.", default=64_000_000),
    max_pictures: int = limit("Of a request.", default=32),
    queue: int = limit("Pictures that may wait; then requests get 503.", default=64),
    waiting_bytes: int = limit(
        "Of all requests that are read or wait; then others get 503.", default=256_000_000
    ),
    connections: int = limit("Open at a time; idle ones make way for others.", default=256),
    connections_per_address: int = limit("The same of one address.", default=64),
    head_seconds: float = limit("In which a request's head must arrive.", default=10.0),
    body_seconds: float = limit(
        "In which its body must arrive, and the answer be taken.", default=60.0
    ),
    idle_seconds: float = limit("For which a connection may have no request.", default=10.0),
    weights: str | None = options.Features.weights,
    device: str = options.Running.device,
    batch_size: int | None = options.Running.batch_size,
) -> None:
    """Serve MODELS over HTTP: pictures in, verdicts out, and a page to do so by hand at /.

    A model file that is replaced is loaded while the old one serves on. Ctrl-C or SIGTERM end it
    once requests that have begun are answered. Logs are JSON lines on standard output. Needs the
    extra: pip install 'softpatch[serve]'

    Examples:
    softpatch serve part.softpatch

    softpatch serve part.softpatch lid=other.softpatch --port 9000

    SOFTPATCH_API_KEY=secret softpatch serve part.softpatch --host 0.0.0.0 --allow-host line-3

    curl -F images=@new/17.png http://127.0.0.1:8000/models/part/detect
    """
    needed = ("contourpy", "fastapi", "prometheus_client", "python_multipart", "uvicorn")
    if not all(map(find_spec, needed)):
        raise MissingExtraError("serve", "softpatch serve")

    from softpatch.detectors.load import load
    from softpatch.serving import Models, ServerSettings
    from softpatch.serving import serve as serve_models
    from softpatch.serving.origins import is_loopback

    settings = ServerSettings(
        # Not by the option's envvar, which takes an empty variable for none: open to everybody.
        api_key=os.environ.get("SOFTPATCH_API_KEY") if api_key is None else api_key,
        allowed_hosts=tuple(allow_host),
        allowed_origins=tuple(allow_origin),
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        max_pictures=max_pictures,
        queue=queue,
        waiting_bytes=waiting_bytes,
        connections=connections,
        connections_per_address=connections_per_address,
        head_seconds=head_seconds,
        body_seconds=body_seconds,
        idle_seconds=idle_seconds,
    )
    loading = partial(load, device=device, weights=weights, batch_size=batch_size)
    served = Models(_by_name(models), loading)
    if settings.api_key is None and not is_loopback(host):
        note("anyone who reaches this machine can use the service; --api-key asks for a key")
    serve_models(
        served, settings, host=host, port=port,
        ready=lambda address: note(f"serving at {address}; Ctrl-C ends it"),
    )  # fmt: skip


def _by_name(models: list[str]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for model in models:
        name, equals, path = model.partition("=")
        if not equals or "/" in name:
            name, path = Path(model).stem, model
        if name in paths:
            raise UsageError(f"two models are called {name!r}; give one as NAME=FILE")
        paths[name] = Path(path)
    return paths
