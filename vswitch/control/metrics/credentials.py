"""Who may read the metrics, and how they are kept from others: passwords and certificates, by the standard library.

A password is kept as its scrypt (RFC 7914): a function made for that, and one that Python has. The bcrypt of other
exporters would be one more library.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import ssl
from typing import Final

COST, BLOCK, PARALLEL = 14, 8, 1
"""Of what is made here: 2 to the power of COST times BLOCK times 128 octets are 16 MiB, in some 50 ms."""

_HASH: Final = re.compile(r"scrypt:(1[0-7]):([1-9]|1[0-6]):([1-4]):((?:[0-9a-f]{2}){16,64}):([0-9a-f]{64})")
_ROOM: Final = 1 << 29
"""Octets that the costliest of these needs."""


class CredentialsError(Exception):
    """A certificate or key cannot be used: the key of the configuration, and one sentence."""

    def __init__(self, key: str, sentence: str) -> None:
        """key: `certificate` or `key`."""
        super().__init__(sentence)
        self.key = key


def hashed(password: str) -> str:
    """`scrypt:COST:BLOCK:PARALLEL:SALT:HASH` of a password, as `basic_auth` has it."""
    salt = os.urandom(16)
    return (
        f"scrypt:{COST}:{BLOCK}:{PARALLEL}:{salt.hex()}:{_scrypt(password.encode(), COST, BLOCK, PARALLEL, salt).hex()}"
    )


def is_hash(text: str) -> bool:
    """Whether a text is what `hashed` gives, at a cost that can be paid."""
    return _HASH.fullmatch(text) is not None


def _scrypt(password: bytes, cost: int, block: int, parallel: int, salt: bytes) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=1 << cost, r=block, p=parallel, maxmem=_ROOM, dklen=32)


class Passwords:
    """The users who may ask, and whether somebody is one of them."""

    def __init__(self, hashes: dict[str, str]) -> None:
        """hashes: by user, none if everybody may."""
        self.wanted = bool(hashes)
        self._hashes = {user.encode(): _parts(text) for user, text in hashes.items()}
        self._nobody = next(iter(self._hashes.values()), None)
        self._secret = os.urandom(32)
        self._known: set[bytes] = set()

    def known(self, header: str) -> bool:
        """Whether this `Authorization` was found right before: a server asks every few seconds, and scrypt is dear."""
        return self._digest(header) in self._known

    def check(self, header: str) -> bool:
        """Whether an `Authorization` is right (RFC 7617). Takes as long for users who are unknown. May block."""
        user, password = _basic(header)
        cost, block, parallel, salt, wanted = self._hashes.get(user) or self._nobody or _parts(hashed(""))
        right = hmac.compare_digest(_scrypt(password, cost, block, parallel, salt), wanted) and user in self._hashes
        if right:
            if len(self._known) >= 2 * len(self._hashes):  # the same may be spelled in several ways
                self._known.clear()
            self._known.add(self._digest(header))
        return right

    def _digest(self, header: str) -> bytes:
        """What is remembered tells nothing to who reads the memory, nor how long a look takes to who asks."""
        return hmac.digest(self._secret, header.encode("utf-8", "surrogateescape"), "sha256")


def _parts(text: str) -> tuple[int, int, int, bytes, bytes]:
    _, cost, block, parallel, salt, wanted = text.split(":")
    return int(cost), int(block), int(parallel), bytes.fromhex(salt), bytes.fromhex(wanted)


def _basic(header: str) -> tuple[bytes, bytes]:
    """User and password; both empty where the header is none of RFC 7617."""
    scheme, _, given = header.partition(" ")
    try:
        octets = base64.b64decode(given.strip(), validate=True) if scheme.lower() == "basic" else b""
    except ValueError:
        octets = b""
    user, _, password = octets.partition(b":")
    return user, password


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """TLS as a server, 1.2 or later, with these PEM files. Raises CredentialsError."""
    for name, path in (("certificate", certificate), ("key", key)):
        try:
            with open(path, "rb") as file:
                file.read(1)
        except OSError as error:
            raise CredentialsError(name, f"cannot read {path}: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    encrypted: list[str] = []

    def password() -> str:
        encrypted.append(key)
        return ""

    try:
        context.load_cert_chain(certificate, key, password)
    except (ssl.SSLError, ValueError) as error:
        if encrypted:
            raise CredentialsError(
                "key", f"{key} is encrypted; give one that is not, readable by its owner alone"
            ) from error
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise CredentialsError("key", f"{key} is not the key of the certificate in {certificate}") from error
        raise CredentialsError("certificate", f"{certificate} and {key} are no certificate and key in PEM") from error
    return context
