"""
RabbitMQ's management interface, as far as the axis needs it: users, permissions, definitions, lists.

Whatever goes wrong on the way is one error; what the server refuses is said with the server's reason, never with what
was sent, as that may hold a credential.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx2

from axis.broker.connection import SERVICE, cause_of
from axis.core.errors import AxisError, ServiceUnavailable
from axis.core.events import JSON

MOVER: Final = "axis-moving"
"""The user under which `axis.broker.migration` moves messages; it exists only meanwhile."""


class ManagementRefused(AxisError):
    """The management interface understood and said no."""

    def __init__(self, *, method: str, path: str, status: int, reason: str) -> None:
        super().__init__(f"the broker's management refused {method} {path} with {status}: {reason}")
        self.status = status
        self.reason = reason


class Management:
    """
    Calls in one virtual host. `{vhost}` in a path stands for it; other parts are quoted by `part`.

    The address is `http(s)://user:password@host:port`; its user needs the tag `administrator` to manage users.
    """

    def __init__(self, url: str, *, vhost: str, ca: Path | None = None, timeout_seconds: float = 15) -> None:
        parts = urlsplit(url)
        self.user = unquote(parts.username or "")
        self._vhost = quote(vhost, safe="")
        _, _, host = parts.netloc.rpartition("@")
        self._client = httpx2.AsyncClient(
            base_url=urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/api/", "", "")),
            auth=(self.user, unquote(parts.password or "")),
            verify=ssl.create_default_context(cafile=None if ca is None else str(ca)),
            timeout=timeout_seconds,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def call(self, method: str, path: str, body: Mapping[str, JSON] | None = None) -> JSON:
        """
        One call; None when what was asked for or is to be deleted is not there, or there is nothing to say.

        Raises:
            ServiceUnavailable: no answer, or one that says to come back.
            ManagementRefused: the server said no, or the place where something is to be put is not there.
        """
        target = path.replace("{vhost}", self._vhost)
        try:
            answer = await self._client.request(method, target, json=None if body is None else dict(body))
        except (httpx2.HTTPError, OSError, ssl.SSLError) as error:
            raise ServiceUnavailable(SERVICE, f"management {method} {path}: {cause_of(error)}") from error
        if answer.status_code == httpx2.codes.NOT_FOUND and method in {"GET", "DELETE"}:
            return None
        if answer.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise ServiceUnavailable(SERVICE, f"management {method} {path}: {answer.status_code}")
        if answer.is_error:
            raise ManagementRefused(
                method=method, path=path, status=answer.status_code, reason=_reason(answer)
            )
        try:
            found: JSON = answer.json() if answer.content else None
        except ValueError as error:
            raise ServiceUnavailable(SERVICE, f"management {method} {path}: not JSON") from error
        return found

    async def list_all(self, path: str) -> list[Mapping[str, JSON]]:
        """A list of objects; empty when there is no such thing."""
        found = await self.call("GET", path)
        return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def part(text: str) -> str:
    """A name as one part of a path."""
    return quote(text, safe="")


def _reason(answer: httpx2.Response) -> str:
    try:
        said = answer.json()
    except ValueError:
        return ""
    reason = said.get("reason") if isinstance(said, dict) else None
    return str(reason)[:300] if reason is not None else ""
