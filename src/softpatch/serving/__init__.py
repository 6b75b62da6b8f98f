"""Models behind HTTP: pictures in, verdicts out, and a page to try it by hand."""

from softpatch.serving.app import create_app
from softpatch.serving.models import Models
from softpatch.serving.server import serve
from softpatch.serving.settings import ServerSettings

__all__ = ["Models", "ServerSettings", "create_app", "serve"]
