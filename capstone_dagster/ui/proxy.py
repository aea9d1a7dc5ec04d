"""What a proxy in front of the UI says: whom it has signed in (OIDC), and where a request comes from.

Only the addresses of CAPSTONE_UI_PROXY are trusted; from all others these headers mean nothing.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from capstone_dagster.settings import Settings
from capstone_dagster.ui.users import User

_Address = IPv4Address | IPv6Address


class Proxy:
    """The proxies of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._networks = [ip_network(proxy, strict=False) for proxy in settings.ui_proxy]
        self._headers = settings.ui_proxy_headers

    def user(self, asked: HTTPConnection) -> User | None:
        """The user whom the proxy names, with the greater of the roles that it names."""
        if not self._is_one(_peer(asked)):
            return None
        name, role = (_only(asked.headers, header) for header in self._headers)
        roles = {each.strip() for each in role.split(",")}
        if not name or not roles & {"viewer", "operator"}:
            return None
        return User(name, "operator" if "operator" in roles else "viewer")

    def address(self, asked: HTTPConnection) -> str:
        """Where the request comes from; what stands before the proxy's own entry of X-Forwarded-For may be invented."""
        peer = _peer(asked)
        if self._is_one(peer):
            passed_on = ",".join(asked.headers.getlist("x-forwarded-for")).rpartition(",")[2]
            peer = _address(passed_on.strip()) or peer
        return f"{peer or 'unknown'}"

    def _is_one(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def neighbourhood(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64 network."""
    known = _address(address)
    return f"{IPv6Network((known, 64), strict=False)}" if isinstance(known, IPv6Address) else address


def _peer(asked: HTTPConnection) -> _Address | None:
    return _address(asked.client.host) if asked.client else None


def _address(text: str) -> _Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _only(headers: Headers, name: str) -> str:
    """The value of a header; of several, one may be the sender's own."""
    given = headers.getlist(name)
    return given[0].strip() if len(given) == 1 else ""
