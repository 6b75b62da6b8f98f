"""``softpatch serve``: models as a service, with a page."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from softpatch.cli import options
from softpatch.cli.terminal import note


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODELS...",
            help="Files written by softpatch fit, served under their name or as NAME=FILE.",
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="SOFTPATCH_API_KEY",
            help="Requests must bring it in the header X-API-Key.  [none needed]",
        ),
    ] = None,
    max_bytes: Annotated[int, typer.Option(min=1, help="Of a request.")] = 20_000_000,
    max_pixels: Annotated[int, typer.Option(min=1, help="Of a picture.")] = 64_000_000,
    max_pictures: Annotated[int, typer.Option(min=1, help="Of a request.")] = 32,
    queue: Annotated[
        int, typer.Option(min=1, help="Pictures that may wait; then requests get 503.")
    ] = 64,
    weights: options.Weights = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
) -> None:
    """Serve MODELS over HTTP: pictures in, verdicts out, and a page to do so by hand at /.

    A model file that is replaced is loaded while the old one serves on. Ctrl-C or SIGTERM end it
    once requests that have begun are answered. Logs are JSON lines on standard output. Needs the
    extra: pip install 'softpatch[serve]'

    Examples:
    softpatch serve part.softpatch

    softpatch serve part.softpatch lid=other.softpatch --port 9000

    SOFTPATCH_API_KEY=secret softpatch serve part.softpatch --host 0.0.0.0

    curl -F images=@new/17.png http://127.0.0.1:8000/models/part/detect
    """
    _need_extra()
    from softpatch.detectors.load import load
    from softpatch.serving import Models, ServerSettings
    from softpatch.serving import serve as serve_models
    from softpatch.serving.server import is_loopback

    settings = ServerSettings(
        api_key=api_key,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        max_pictures=max_pictures,
        queue=queue,
    )
    served = Models(
        _by_name(models),
        lambda path: load(path, device=device, weights=weights, batch_size=batch_size),
    )
    if api_key is None and not is_loopback(host):
        note("anyone who reaches this machine can use the service; --api-key asks for a key")
    serve_models(
        served,
        settings,
        host=host,
        port=port,
        ready=lambda address: note(f"serving at {address}; Ctrl-C ends it"),
    )


def _need_extra() -> None:
    """Before any work, where there is nothing to serve with."""
    from softpatch.errors import MissingExtraError

    needed = ("contourpy", "fastapi", "prometheus_client", "python_multipart", "uvicorn")
    if not all(map(find_spec, needed)):
        raise MissingExtraError("serve", "softpatch serve")


def _by_name(models: list[str]) -> dict[str, Path]:
    from softpatch.errors import UsageError

    paths: dict[str, Path] = {}
    for model in models:
        name, equals, path = model.partition("=")
        if not equals or "/" in name:
            name, path = Path(model).stem, model
        if name in paths:
            raise UsageError(f"two models are called {name!r}; give one as NAME=FILE")
        paths[name] = Path(path)
    return paths
