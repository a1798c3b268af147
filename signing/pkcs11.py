"""
Keys in hardware: a `Signer` whose key never leaves its token (PKCS#11, `pip install axis-exchange[hsm]`).

A key is named by a URI of RFC 7512, which holds no secret: the PIN stands in a file of its own that only its owner
can read::

    pkcs11:token=axis;object=seal?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/axis/seal.pin

One signer holds one session. Sessions do not survive a fork: every worker process opens its own.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, Self, final
from urllib.parse import parse_qsl, unquote, unquote_to_bytes, urlsplit

from signing.algorithms import SignatureMethod
from signing.errors import MaterialError
from signing.keys import read_private

if TYPE_CHECKING:
    from pkcs11.types import Session, Token

SCHEME: Final = "pkcs11:"
_MECHANISMS: Final = {
    SignatureMethod.RSA_SHA256: "SHA256_RSA_PKCS",
    SignatureMethod.RSA_SHA384: "SHA384_RSA_PKCS",
    SignatureMethod.RSA_SHA512: "SHA512_RSA_PKCS",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyURI:
    """Which key, on which token, through which library; what RFC 7512 calls attributes."""

    module: Path
    token: str
    label: str | None
    id: bytes | None
    pin_file: Path | None
    """Nothing for a token that asks for no PIN, or asks at its own pad."""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """
        Read a URI.

        Raises:
            MaterialError: it is none, names no key, or holds the PIN itself.
        """
        parts = urlsplit(uri)
        path = dict(piece.partition("=")[::2] for piece in parts.path.split(";"))
        query = dict(parse_qsl(parts.query))
        if parts.scheme != "pkcs11" or "token" not in path or "module-path" not in query:
            raise MaterialError(
                "hsm.uri", "pkcs11:token=…;object=…?module-path=…&pin-source=file:… is needed"
            )
        if "pin-value" in query:
            raise MaterialError("hsm.uri", "a PIN in the URI can be seen by others: use pin-source=file:…")
        if not path.get("object") and not path.get("id"):
            raise MaterialError("hsm.uri", "name the key: object=… or id=…")
        source = query.get("pin-source", "")
        return cls(
            module=Path(query["module-path"]),
            token=unquote(path["token"]),
            label=unquote(path["object"]) if path.get("object") else None,
            id=unquote_to_bytes(path["id"]) if path.get("id") else None,
            pin_file=Path(source.removeprefix("file:").removeprefix("//")) if source else None,
        )


@final
class TokenSigner:
    """A key on a token."""

    __slots__ = ("_key", "_lock", "_mechanism", "_method", "_pid", "_session")

    def __init__(self, uri: KeyURI, *, method: SignatureMethod = SignatureMethod.RSA_SHA256) -> None:
        """
        Open a session and find the key.

        Raises:
            MaterialError: library, token, PIN or key are not as the URI says, the PIN's file is open to others, or
                the key is no RSA key of at least 2048 bits.
        """
        try:
            import pkcs11
            from pkcs11.types import SignMixin
        except ImportError as error:
            raise MaterialError("hsm.not_installed", "pip install 'axis-exchange[hsm]'") from error
        pin = None if uri.pin_file is None else read_private(uri.pin_file).decode("utf-8", "replace").strip()
        try:
            token = pkcs11.lib(str(uri.module)).get_token(token_label=uri.token)
            self._session = _log_in(token, pin)
            try:
                key = self._session.get_key(
                    object_class=pkcs11.ObjectClass.PRIVATE_KEY,
                    key_type=pkcs11.KeyType.RSA,
                    label=uri.label,
                    id=uri.id,
                )
                bits = 8 * len(key[pkcs11.Attribute.MODULUS])
            except (pkcs11.PKCS11Error, KeyError):
                self._session.close()
                raise
        except (pkcs11.PKCS11Error, RuntimeError, KeyError) as error:
            # `from None`: whatever else the library says, the PIN is not to be part of it.
            raise MaterialError("hsm.unusable", f"{uri.token}: {type(error).__name__}") from None
        if bits < 2048 or not isinstance(key, SignMixin):
            self._session.close()
            raise MaterialError("key.kind", f"{uri.token}: an RSA key of at least 2048 bits is needed")
        self._key = key
        self._method = method
        self._mechanism = getattr(pkcs11.Mechanism, _MECHANISMS[method])
        self._lock = Lock()
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"TokenSigner({self._method.name})"

    @property
    def method(self) -> SignatureMethod:
        """Which signature it makes."""
        return self._method

    def sign(self, message: bytes) -> bytes:
        """
        Hash and sign on the token.

        Raises:
            MaterialError: the token does not answer, or the session belongs to another process.
        """
        import pkcs11

        if os.getpid() != self._pid:
            raise MaterialError("hsm.forked", "open a session in each process")
        try:
            with self._lock:
                signature: bytes = self._key.sign(message, mechanism=self._mechanism)
        except pkcs11.PKCS11Error as error:
            raise MaterialError("hsm.unusable", type(error).__name__) from error
        return signature

    def close(self) -> None:
        """End the session; with the last one of this process the token forgets the PIN."""
        self._session.close()


def _log_in(token: "Token", pin: str | None) -> "Session":
    """A session that may use private keys. The PIN counts for a whole process, so it is given only once."""
    import pkcs11

    try:
        return token.open(user_pin=pin)
    except pkcs11.UserAlreadyLoggedIn:
        return token.open()
