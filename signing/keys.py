"""
Private keys: the only place that holds one, and it never lets go of it.

A `Signer` makes one kind of signature and nothing else. Key files serve agencies and tests; an HSM serves through
PKCS#11 (signing.pkcs11). No key is logged, printed or copied, and a key file that others can read is refused.
"""

import os
import stat
from pathlib import Path
from typing import Protocol, Self, final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from signing.algorithms import SIGNATURE_METHODS, SignatureMethod
from signing.errors import MaterialError


class Signer(Protocol):
    """Something that holds a private RSA key and signs with it (RSASSA-PKCS1-v1_5)."""

    @property
    def method(self) -> SignatureMethod:
        """Which signature it makes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Hash and sign `message`."""
        ...


class OpenedSigner(Signer, Protocol):
    """A signer that whoever opened it closes again."""

    def close(self) -> None:
        """Let go of the key."""
        ...


@final
class KeySigner:
    """A key in the memory of this process."""

    __slots__ = ("_key", "_method")

    def __init__(
        self, key: rsa.RSAPrivateKey, *, method: SignatureMethod = SignatureMethod.RSA_SHA256
    ) -> None:
        self._key = key
        self._method = method

    def __repr__(self) -> str:
        return f"KeySigner({self._method.name})"

    @property
    def method(self) -> SignatureMethod:
        return self._method

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message, padding.PKCS1v15(), SIGNATURE_METHODS[self._method.value])

    def close(self) -> None:
        """Nothing: the key goes when the signer goes."""

    @classmethod
    def from_file(
        cls,
        path: Path,
        *,
        passphrase: bytes | None = None,
        method: SignatureMethod = SignatureMethod.RSA_SHA256,
    ) -> Self:
        """
        Load a PEM key whose file only its owner can read.

        Raises:
            MaterialError: the file cannot be read, others than its owner may read it, or it holds no RSA key of at
                least 2048 bits that the passphrase opens.
        """
        return cls(_load(read_private(path), path, passphrase), method=method)


def open_signer(
    name: str | Path,
    *,
    passphrase: bytes | None = None,
    method: SignatureMethod = SignatureMethod.RSA_SHA256,
) -> OpenedSigner:
    """
    The signer that a setting or an option names: a PEM file, or a key on a token by its `pkcs11:` URI.

    Raises:
        MaterialError: there is no usable key of that name.
    """
    if str(name).startswith("pkcs11:"):
        from signing.pkcs11 import KeyURI, TokenSigner

        return TokenSigner(KeyURI.parse(str(name)), method=method)
    return KeySigner.from_file(Path(name), passphrase=passphrase, method=method)


def read_private(path: Path) -> bytes:
    """
    The bytes of a file that only its owner can read.

    Raises:
        MaterialError: it cannot be read, or others may read it too.
    """
    try:
        # The permissions are those of the file that is read, not of a name that may point elsewhere meanwhile.
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise MaterialError(
                    "key.permissions", f"{path.name} is open to others: chmod 600 {path.name}"
                )
            return file.read()
    except OSError as error:
        raise MaterialError("file.unreadable", f"{path.name}: {error.strerror}") from error


def _load(pem: bytes, path: Path, passphrase: bytes | None) -> rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(pem, password=passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # `from None`: the library's own words could quote the file.
        raise MaterialError(
            "key.unreadable", f"{path.name}: no private key in PEM, or the wrong passphrase"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise MaterialError("key.kind", f"{path.name}: an RSA key of at least 2048 bits is needed")
    return key
