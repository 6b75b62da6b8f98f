"""Which names the service answers to, and the pages of which other origins may use it.

A browser sends pages of anybody's to a service on its own machine. It says in ``Origin`` whose
page asks, and in ``Host`` by which name: a page whose name is made to point here (DNS rebinding)
is of the same origin as the service, but has a name that is not the service's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from softpatch.errors import UsageError

PORT = r"(?::[0-9]{1,5})?"
HOST = re.compile(rf"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+){PORT}")
ORIGIN = re.compile(rf"(https?)://((?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+){PORT})", re.IGNORECASE)
DEFAULT_PORTS = {"http": ":80", "https": ":443"}

Name = str | IPv4Address | IPv6Address


def is_own_host(host: str, names: Iterable[str]) -> bool:
    """Whether the header Host has one of these names, or one of this machine's loopback.

    With any port, which a proxy or a container may have changed.
    """
    found = HOST.fullmatch(host)
    if found is None:
        return False
    name = _name(found[1])
    return is_loopback(name) or name in map(_name, names)


def is_loopback(name: Name) -> bool:
    """Whether only this machine can reach an address."""
    if isinstance(name, str):
        name = _name(name)
    return name == "localhost" if isinstance(name, str) else name.is_loopback


def is_own_origin(origin: str, host: str) -> bool:
    """Whether ``Origin`` is that of the service that ``Host`` names.

    With any scheme, since a proxy may have taken https away.
    """
    found = ORIGIN.fullmatch(origin)
    if found is None:
        return False
    usual = DEFAULT_PORTS[found[1].lower()]
    own, asked = (each.lower().removesuffix(usual) for each in (found[2], host))
    return own == asked


def check_host(host: str) -> None:
    """Raise UsageError for what is no name or address without a port."""
    if isinstance(_name(host), str) and not re.fullmatch(r"[A-Za-z0-9._-]+", host):
        raise UsageError(
            f"{host!r} is no host; give a name or an address as browsers send it, without a port: "
            "inspect.example"
        )


def check_origin(origin: str) -> None:
    """Raise UsageError for what is no origin."""
    if ORIGIN.fullmatch(origin) is None or origin != origin.lower():
        raise UsageError(
            f"{origin!r} is no origin; give scheme, name and port as browsers send them, in small "
            "letters: https://mes.example:8443"
        )


def _name(text: str) -> Name:
    """A name or an address, so that two spellings of one are equal."""
    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return text.lower()
