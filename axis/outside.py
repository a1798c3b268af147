"""
What the axis asks of the outside world, in the background only: revocation lists, OCSP responders, a timestamp authority.

Asks the addresses it is given and no other: no redirects, no proxy from the environment. An answer that is too long is
not read to its end. What comes back is signed and is judged elsewhere, so that plain HTTP does no harm.
"""

from __future__ import annotations

from typing import Final

import httpx2

from axis.core.errors import ServiceUnavailable

SECONDS: Final = 20.0
"""For one answer, from connecting to its last byte."""


class Outside:
    """Implements `axis.flow.revocation.Fetcher` and `axis.flow.stamp.Authority`."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    async def fetch(self, url: str, *, most: int, body: bytes | None = None, content_type: str = "") -> bytes:
        """See the protocol."""
        # One connection an answer: addresses are asked once an hour, and a kept one would hold a broken network.
        headers = {"Content-Type": content_type} if body is not None else {}
        try:
            async with (
                httpx2.AsyncClient(timeout=self._seconds, follow_redirects=False, trust_env=False) as client,
                client.stream(
                    "GET" if body is None else "POST", url, content=body, headers=headers
                ) as answer,
            ):
                return await self._read(answer, url, most=most)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as problem:
            raise ServiceUnavailable(_host(url), type(problem).__name__) from problem

    async def _read(self, answer: httpx2.Response, url: str, *, most: int) -> bytes:
        if answer.status_code != httpx2.codes.OK:
            raise ServiceUnavailable(_host(url), f"status {answer.status_code}")
        content = bytearray()
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > most:
                raise ServiceUnavailable(_host(url), f"more than {most} bytes")
        return bytes(content)


def _host(url: str) -> str:
    """What a log may say of an address: no user, no path."""
    return httpx2.URL(url).host or "?"
