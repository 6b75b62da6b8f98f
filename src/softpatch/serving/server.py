"""Runs the application on a socket until a signal stops it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from softpatch.errors import UsageError
from softpatch.serving.app import create_app
from softpatch.serving.connections import Connection, Room
from softpatch.serving.log_lines import logging_to_stdout
from softpatch.serving.models import Models
from softpatch.serving.observing import log
from softpatch.serving.settings import ServerSettings

SHUTDOWN_SECONDS = 120  # for answering requests after the signal


def serve(
    models: Models,
    settings: ServerSettings,
    *,
    host: str,
    port: int,
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM; started requests are answered first.

    Port 0 takes a free one; ``ready`` is called with the URL once connections are accepted.

    Raises:
        UsageError: the address is not available.
    """
    settings = replace(settings, allowed_hosts=(*settings.allowed_hosts, host))
    with _listening(host, port) as listener, logging_to_stdout():
        config = configured(create_app(models, settings), settings)
        # uvicorn raises the signal that stopped it again; by then it must do nothing.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        at = f"[{host}]" if ":" in host else host
        ready(f"http://{at}:{listener.getsockname()[1]}/")
        log("started", models=[served.name for served in models])
        uvicorn.Server(config).run(sockets=[listener])
        log("stopped")


def configured(app: FastAPI, settings: ServerSettings) -> uvicorn.Config:
    """The application in uvicorn, with the limits of connections."""
    room = Room(settings.connections, settings.connections_per_address)
    return uvicorn.Config(
        app,
        http=cast("Any", partial(Connection, settings=settings, room=room)),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # The system's message without the address that some add; host names have no strerror.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror
        raise UsageError(f"cannot listen at {host}, port {port}: {reason}") from error
