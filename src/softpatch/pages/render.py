"""Fills a template with values; the HTML is a single file."""

from __future__ import annotations

from typing import Any

from softpatch.errors import MissingExtraError


def need_jinja() -> None:
    """Raise MissingExtraError, before any work, if jinja2 is not installed."""
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("audit", "the page of results") from error


def fill(template: str, **values: Any) -> bytes:
    """Fill in a template of this package; values are escaped.

    Args:
        template: its path below ``softpatch``.
        values: one for every name in the template.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    need_jinja()
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("softpatch", ""),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return f"{environment.get_template(template).render(values).rstrip()}\n".encode()
