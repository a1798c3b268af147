"""
The algorithms of AX-1, by their W3C names, and what each is in `cryptography`.

A name that is not in these tables cannot be used, whatever a policy file says: no SHA-1, no MD5, no HMAC.
Sources: XML-DSig (W3C, 2008), RFC 6931, XML Exclusive Canonicalization 1.0.
"""

import hashlib
from enum import StrEnum, unique
from types import MappingProxyType

from cryptography.hazmat.primitives import hashes

DS = "http://www.w3.org/2000/09/xmldsig#"
XADES = "http://uri.etsi.org/01903/v1.3.2#"
SIGNED_PROPERTIES_TYPE = "http://uri.etsi.org/01903#SignedProperties"

EXCLUSIVE_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
BASE64_TRANSFORM = "http://www.w3.org/2000/09/xmldsig#base64"

SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
SHA384 = "http://www.w3.org/2001/04/xmldsig-more#sha384"
SHA512 = "http://www.w3.org/2001/04/xmlenc#sha512"


@unique
class SignatureMethod(StrEnum):
    """RSASSA-PKCS1-v1_5 with a hash of the SHA-2 family."""

    RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
    RSA_SHA384 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384"
    RSA_SHA512 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"


SIGNATURE_METHODS: dict[str, hashes.HashAlgorithm] = {
    SignatureMethod.RSA_SHA256.value: hashes.SHA256(),
    SignatureMethod.RSA_SHA384.value: hashes.SHA384(),
    SignatureMethod.RSA_SHA512.value: hashes.SHA512(),
}

HASHES = MappingProxyType({"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512})
"""The constructors themselves: `hashlib.new` looks its name up anew each time, and takes five times as long."""

DIGEST_METHODS: dict[str, str] = {SHA256: "sha256", SHA384: "sha384", SHA512: "sha512"}
"""W3C name to the name hashlib uses."""
