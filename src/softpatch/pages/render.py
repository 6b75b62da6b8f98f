"""Pages that need nothing beside them: a template and values in, HTML out."""

from __future__ import annotations

from typing import Any

from softpatch.errors import MissingExtraError


def need_jinja() -> None:
    """Raise MissingExtraError, before any work, where a page could not be made."""
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("audit", "the page of results") from error


def fill(template: str, **values: Any) -> bytes:
    """A template of this package, filled in; values are escaped.

    Args:
        template: its path below ``softpatch``.
        values: those that it names, all of them.

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
