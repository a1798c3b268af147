"""
A station's one credential, valid at the broker and over HTTP: `<station>.<secret>`, 256 random bits.

Over HTTP the whole text is the API key; at the broker the station is the user and what stands behind the dot is the
password. The axis keeps a SHA-256 and shows the text once. Randomness is an argument.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

from axis.core.model import StationId

STATION_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,30}\Z")
"""Names of stations: they stand in queue names, routing keys, permissions and addresses as they are."""

KEY_BYTES: Final = 32
QUEUE_SECRET_BYTES: Final = 10
"""Ten bytes are sixteen letters of base 32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What the people of a station are given, once. Printed, it says nothing but the station's name."""

    station: StationId
    key: str = field(repr=False)
    """`<station>.<secret>`: the API key."""
    queue_secret: str = field(repr=False)
    """The 16 characters its queue names end in; `whoami` tells them again."""

    @property
    def password(self) -> str:
        """Password of the broker's user, which has the station's name."""
        return self.key.partition(".")[2]


def key_of(station: StationId, *, randomness: bytes) -> str:
    """
    The API key made of these random bytes.

    Raises:
        ValueError: not exactly as many as a key needs.
    """
    if len(randomness) != KEY_BYTES:
        raise ValueError(f"{KEY_BYTES} random bytes make a key")
    return f"{station}.{base64.urlsafe_b64encode(randomness).rstrip(b'=').decode('ascii')}"


def queue_secret_of(randomness: bytes) -> str:
    """
    The end of the station's queue names: 16 characters of `a-z2-7`.

    Raises:
        ValueError: not exactly as many bytes as it needs.
    """
    if len(randomness) != QUEUE_SECRET_BYTES:
        raise ValueError(f"{QUEUE_SECRET_BYTES} random bytes make a queue's secret")
    return base64.b32encode(randomness).decode("ascii").lower()


def hash_of_key(key: str) -> str:
    """What the axis keeps of a key: SHA-256 in hexadecimal. 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_key(key: str, *, key_hash: str) -> bool:
    """Whether this is the key that hash was made of; takes the same time whichever it is."""
    return hmac.compare_digest(hash_of_key(key), key_hash)
