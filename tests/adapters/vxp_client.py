"""
A client of the old interface, written from what is known of its SDK, with everything it does oddly.

One header map for the life of the object: never cleared, names in whatever case the call at hand writes them, signed as
a whole in the order of a hash table; one time stamp; a line end behind every file; the file's hash without leading
zeros; answers of `sendEdoc` decoded as US-ASCII; every I/O error answered by sending the same again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import json
import ssl
import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from axis.core.model import VIETNAM

PREFIX = "XroadVnpt-"
VERSION = "3.0.201608"


class VXPClient:
    """One client object of the SDK."""

    def __init__(
        self,
        url: str,
        *,
        system_id: str,
        secret: str,
        now: datetime,
        retries: int = 2,
        pads_hash: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.url = url
        self.secret = secret
        self.retries = retries
        self.pads_hash = pads_hash
        self.tls = tls
        local = now.astimezone(VIETNAM)
        self.headers: dict[str, str] = {
            "systemid": system_id,
            "timestamp": f"{local:%d%m%YT%H%M%S}+{local.microsecond // 1000:04d}",
        }
        self.tamper: Callable[[list[tuple[str, str]]], list[tuple[str, str]]] = lambda found: found
        """For tests of what a client must not do."""
        self.cut_answers = 0
        """So many answers are lost: the connection is dropped after the request was sent."""

    # --- calls ----------------------------------------------------------------------------------------------------

    async def send_edoc(
        self, body: bytes, *, sender: str, kind: str = "edoc", to: str | None = None, **more: str
    ) -> dict[str, Any]:
        self.headers |= {
            "from": sender,
            "servicetype": "eDoc",
            "messagetype": kind,
            "hash-file": self._hash(body),
            "Content-Type": "application/octet-stream",
            **more,
        }
        if to is not None:
            self.headers["to"] = to
        answer = await self._call("POST", "sendEdoc", body + b"\r\n")
        found: dict[str, Any] = json.loads(answer.decode("ascii"))
        return found

    def _hash(self, body: bytes) -> str:
        digest = hashlib.sha256(body).digest()
        return digest.hex() if self.pads_hash else "".join(f"{one:x}" for one in digest)

    async def received(self, kind: str = "edoc", **more: str) -> list[dict[str, Any]]:
        self.headers |= more
        found = await self.ask("getReceivedEdocList", servicetype="eDoc", messagetype=kind)
        assert found["status"] == "OK", found
        rows: list[dict[str, Any]] = found["data"]
        return rows

    async def sent(self, kind: str = "edoc", **more: str) -> list[dict[str, Any]]:
        self.headers |= more
        found = await self.ask("getSentEdocList", servicetype="eDoc", messagetype=kind)
        assert found["status"] == "OK", found
        rows: list[dict[str, Any]] = found["data"]
        return rows

    async def get_edoc(self, doc_id: str, **more: str) -> dict[str, Any]:
        self.headers |= more
        return await self.ask("getEdoc", docId=doc_id, filePath="C:\\edoc\\tai-ve")

    async def download(self, doc_id: str) -> bytes:
        self.headers |= {"docId": doc_id, "filePath": "/tmp/edoc"}
        return await self._call("GET", "downloadEdoc", b"")

    async def update(self, doc_id: str, status: str) -> dict[str, Any]:
        return await self.ask("updateStatus", docid=doc_id, status=status)

    async def ask(
        self, operation: str, *, body: bytes = b"{}", method: str = "POST", **headers: str
    ) -> dict[str, Any]:
        """Any operation that answers JSON."""
        self.headers |= {"Content-Type": "application/json", **headers}
        found: dict[str, Any] = json.loads(await self._call(method, operation, body))
        return found

    # --- the wire -------------------------------------------------------------------------------------------------

    def signed(self) -> list[tuple[str, str]]:
        """The headers of the next request."""
        # A Java HashMap has an order, and it is nobody's.
        names = sorted(self.headers, key=lambda name: zlib.crc32(name.encode()))
        text = json.dumps(
            {PREFIX + name: self.headers[name] for name in names}, ensure_ascii=False, separators=(",", ":")
        )
        found = [(PREFIX + name, self.headers[name]) for name in names]
        found += [
            ("Content-Type", self.headers.get("Content-Type", "application/json")),
            ("User-Agent", "JAVASDKAgent/1.0.0 XRoad/VPCP"),
            (PREFIX + "version", VERSION),
            (PREFIX + "sign-header-key", ";".join(names)),
            (PREFIX + "sign-header", text),
            (
                PREFIX + "hash-header",
                hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest(),
            ),
        ]
        return self.tamper(found)

    async def _call(self, method: str, operation: str, body: bytes) -> bytes:
        headers = self.signed()
        for attempt in range(self.retries + 1):
            lose = self.cut_answers > 0
            self.cut_answers -= lose
            try:
                return await asyncio.to_thread(
                    request, self.url, method, operation, headers, body, lose_answer=lose, tls=self.tls
                )
            except OSError:
                if attempt == self.retries:
                    raise
        raise AssertionError("unreachable")


def request(
    url: str,
    method: str,
    operation: str,
    headers: list[tuple[str, str]],
    body: bytes,
    *,
    lose_answer: bool = False,
    timeout_s: float = 60,
    tls: ssl.SSLContext | None = None,
) -> bytes:
    """One request, header lines exactly as given."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = (
        http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        if parts.scheme == "http"
        else http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=tls)
    )
    try:
        connection.putrequest(method, f"{parts.path}/{operation}", skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode("latin-1", errors="replace"))
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        if lose_answer:
            raise ConnectionResetError("the answer was lost")
        answer = connection.getresponse()
        found = answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    assert answer.status == 200, (answer.status, found[:200])
    return found
