"""Password hashes that somebody else made: checked at import, verified once, then replaced.

Auth0's `password_hash` and `custom_password_hash` (C§7.4), and what other systems left: phpass,
Django, ASP.NET Identity, LDAP. Costs are bounded when a hash comes in: a hostile one must not
occupy a thread for minutes at each login.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import bcrypt
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from Crypto.Hash import MD4
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

BCRYPT_BYTES: Final = 72
"""What bcrypt reads of a password; whoever made the hash saw no more."""
_MAX_BCRYPT_COST: Final = 15
_MAX_ARGON2_KIB: Final = 256 * 1024
_MAX_ARGON2_TIME: Final = 16
_MAX_ITERATIONS: Final = 2_000_000
_MAX_SCRYPT_BYTES: Final = 256 * 1024 * 1024
_PHPASS: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PBKDF2_PHC: Final = re.compile(
    r"^\$pbkdf2-(sha1|sha224|sha256|sha384|sha512)\$i=(\d{1,9})(?:,l=(\d{1,4}))?\$([^$]*)\$([^$]+)$"
)
_DJANGO: Final = re.compile(r"^pbkdf2_(sha1|sha256)\$(\d{1,9})\$([^$]+)\$([^$]+)$")
_LDAP: Final = re.compile(r"^\{([A-Z0-9-]+)\}(.+)$", re.IGNORECASE)
_LDAP_DIGESTS: Final = {
    "MD5": "md5",
    "SMD5": "md5",
    "SHA": "sha1",
    "SSHA": "sha1",
    "SHA256": "sha256",
    "SSHA256": "sha256",
    "SHA512": "sha512",
    "SSHA512": "sha512",
}
_PRF: Final = {0: "sha1", 1: "sha256", 2: "sha512"}  # ASP.NET Core's KeyDerivationPrf

Encoding = Literal["base64", "hex", "utf8"]
Value = Annotated[str, Field(max_length=4096)]


class _Part(BaseModel):
    value: Value = Field(repr=False)
    encoding: Encoding = "utf8"

    def read(self) -> bytes:
        """The bytes. Raises ValueError."""
        if self.encoding == "hex":
            return bytes.fromhex(self.value)
        if self.encoding == "base64":
            return _base64(self.value)
        return self.value.encode()


class _Hash(_Part):
    encoding: Encoding = "base64"
    digest: Literal["md4", "md5", "sha1", "sha224", "sha256", "sha384", "sha512"] | None = None
    key: _Part | None = None


class _Salt(_Part):
    position: Literal["prefix", "suffix"] = "prefix"


class _PasswordEncoding(BaseModel):
    encoding: Literal["ascii", "utf8", "utf16le", "ucs2", "latin1", "binary"] = "utf8"


class CustomHash(BaseModel):
    """`custom_password_hash`, checked: what is kept can be verified at a bounded price."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    algorithm: Literal[
        "argon2",
        "bcrypt",
        "hmac",
        "ldap",
        "md4",
        "md5",
        "sha1",
        "sha256",
        "sha512",
        "pbkdf2",
        "scrypt",
        "phpass",
        "django",
        "aspnet_identity",
    ]
    hash: _Hash = Field(repr=False)
    salt: _Salt | None = Field(default=None, repr=False)
    password: _PasswordEncoding = _PasswordEncoding()
    keylen: Annotated[int, Field(ge=1, le=1024)] | None = None
    cost: Annotated[int, Field(ge=2, le=2**20)] = 16384
    blockSize: Annotated[int, Field(ge=1, le=64)] = 8  # noqa: N815 - Auth0's spelling
    parallelization: Annotated[int, Field(ge=1, le=16)] = 1

    @model_validator(mode="after")
    def _can_be_verified(self) -> CustomHash:
        try:
            _VERIFIERS[self.algorithm](self, b"not the password")
        except (ValueError, IndexError, TypeError, binascii.Error) as error:
            raise ValueError(f"the {self.algorithm} hash can't be read: {error}") from None
        return self


def verify(stored: str, password: str) -> bool:
    """Whether this password made that hash; False for what can't be read."""
    try:
        if not stored.startswith('{"'):
            custom = recognised(stored)
        else:
            custom = CustomHash.model_validate_json(stored)
        encoded = password.encode(_python_encoding(custom.password.encoding))
        return _VERIFIERS[custom.algorithm](custom, encoded)
    except (ValueError, ValidationError, IndexError, TypeError, binascii.Error):
        return False


def recognised(text: str) -> CustomHash:
    """A hash that says itself what it is. Raises ValueError for others."""
    for begins, algorithm in (
        ("$2", "bcrypt"),
        ("$argon2", "argon2"),
        ("$pbkdf2-", "pbkdf2"),
        ("pbkdf2_", "django"),
        ("$P$", "phpass"),
        ("$H$", "phpass"),
        ("{", "ldap"),
    ):
        if text.startswith(begins):
            given = {"algorithm": algorithm, "hash": {"value": text, "encoding": "utf8"}}
            return CustomHash.model_validate(given)
    raise ValueError("a hash of an unknown kind")


def _python_encoding(name: str) -> str:
    return {"ucs2": "utf-16-le", "utf16le": "utf-16-le", "binary": "latin-1"}.get(name, name)


def _bcrypt(custom: CustomHash, password: bytes) -> bool:
    stored = custom.hash.value
    if not re.match(r"^\$2[abxy]?\$(\d\d)\$[./A-Za-z0-9]{53}$", stored):
        raise ValueError("not a bcrypt hash")
    if int(stored.split("$")[2]) > _MAX_BCRYPT_COST:
        raise ValueError(f"its cost is above {_MAX_BCRYPT_COST}")
    modern = "$2b$" + stored.split("$", 2)[2]
    return bcrypt.checkpw(password[:BCRYPT_BYTES].replace(b"\0", b""), modern.encode())


def _argon2(custom: CustomHash, password: bytes) -> bool:
    stored = custom.hash.value
    try:
        parameters = extract_parameters(stored)
        if parameters.memory_cost > _MAX_ARGON2_KIB or parameters.time_cost > _MAX_ARGON2_TIME:
            raise ValueError("its cost is too high")
        return PasswordHasher().verify(stored, password)
    except InvalidHashError:
        raise ValueError("not an argon2 hash") from None
    except VerificationError:
        return False


def _pbkdf2(custom: CustomHash, password: bytes) -> bool:
    match = _PBKDF2_PHC.match(custom.hash.value)
    if match is None:
        raise ValueError("not of the form $pbkdf2-sha256$i=…,l=…$salt$hash")
    digest, iterations, length, salt, stored = match.groups()
    expected = _base64(stored)
    if length is not None and int(length) != len(expected):
        raise ValueError("its length is not what it says")
    return _derived(digest, password, _base64(salt), int(iterations), expected)


def _django(custom: CustomHash, password: bytes) -> bool:
    match = _DJANGO.match(custom.hash.value)
    if match is None:
        raise ValueError("not a Django hash")
    digest, iterations, salt, stored = match.groups()
    return _derived(digest, password, salt.encode(), int(iterations), _base64(stored))


def _aspnet_identity(custom: CustomHash, password: bytes) -> bool:
    """Versions 2 (a leading 0) and 3 (a leading 1) of its PasswordHasher."""
    raw = _base64(custom.hash.value)
    if raw[:1] == b"\0" and len(raw) == 49:
        return _derived("sha1", password, raw[1:17], 1000, raw[17:])
    if raw[:1] != b"\1" or len(raw) < 14:
        raise ValueError("not an ASP.NET Identity hash")
    prf, iterations, salt_size = (int.from_bytes(raw[i : i + 4], "big") for i in (1, 5, 9))
    if prf not in _PRF or not 8 <= salt_size <= 128:
        raise ValueError("not an ASP.NET Identity hash")
    salt, expected = raw[13 : 13 + salt_size], raw[13 + salt_size :]
    return _derived(_PRF[prf], password, salt, iterations, expected)


def _derived(digest: str, password: bytes, salt: bytes, iterations: int, expected: bytes) -> bool:
    if not 1 <= iterations <= _MAX_ITERATIONS or not 8 <= len(expected) <= 1024:
        raise ValueError(f"it has no hash, or more than {_MAX_ITERATIONS} iterations")
    made = hashlib.pbkdf2_hmac(digest, password, salt, iterations, len(expected))
    return hmac.compare_digest(made, expected)


def _scrypt(custom: CustomHash, password: bytes) -> bool:
    expected = custom.hash.read()
    if custom.salt is None or not 8 <= len(expected) <= 1024:
        raise ValueError("a salt and a hash of 8 to 1024 bytes are needed")
    if custom.keylen is not None and custom.keylen != len(expected):
        raise ValueError("keylen is not the hash's length")
    needed = 128 * custom.cost * custom.blockSize * custom.parallelization
    if needed > _MAX_SCRYPT_BYTES:
        raise ValueError("its cost is too high")
    made = hashlib.scrypt(
        password,
        salt=custom.salt.read(),
        n=custom.cost,
        r=custom.blockSize,
        p=custom.parallelization,
        maxmem=2 * needed + 1024 * 1024,
        dklen=len(expected),
    )
    return hmac.compare_digest(made, expected)


def _plain(custom: CustomHash, password: bytes) -> bool:
    made = _digest(custom.algorithm, _salted(custom, password))
    expected = custom.hash.read()
    if len(expected) != len(made):
        raise ValueError(f"it has {len(expected)} bytes, not {len(made)}")
    return hmac.compare_digest(made, expected)


def _hmac(custom: CustomHash, password: bytes) -> bool:
    if custom.hash.key is None or custom.hash.digest is None:
        raise ValueError("hash.key and hash.digest are needed")
    if custom.hash.digest == "md4":
        raise ValueError("hmac with md4 is not supported")
    key = custom.hash.key.read()
    made = hmac.digest(key, _salted(custom, password), custom.hash.digest)
    expected = custom.hash.read()
    if len(expected) != len(made):
        raise ValueError(f"it has {len(expected)} bytes, not {len(made)}")
    return hmac.compare_digest(made, expected)


def _ldap(custom: CustomHash, password: bytes) -> bool:
    """RFC 2307: `{SCHEME}` and base64 of the digest, with the salt behind it."""
    match = _LDAP.match(custom.hash.value)
    digest = _LDAP_DIGESTS.get(match[1].upper()) if match else None
    if match is None or digest is None:
        raise ValueError(f"not one of {', '.join(_LDAP_DIGESTS)}")
    raw = _base64(match[2])
    size = hashlib.new(digest, usedforsecurity=False).digest_size
    if len(raw) < size:
        raise ValueError("it is too short")
    made = _digest(digest, password + raw[size:])
    return hmac.compare_digest(made, raw[:size])


def _phpass(custom: CustomHash, password: bytes) -> bool:
    stored = custom.hash.value
    if not re.match(r"^\$[PH]\$[./A-Za-z0-9]{31}$", stored):
        raise ValueError("not a phpass hash")
    rounds = 1 << _PHPASS.index(stored[3])
    if rounds > _MAX_ITERATIONS:
        raise ValueError("its cost is too high")
    made = hashlib.md5(stored[4:12].encode() + password, usedforsecurity=False).digest()
    for _ in range(rounds):
        made = hashlib.md5(made + password, usedforsecurity=False).digest()
    return hmac.compare_digest(_phpass_base64(made), stored[12:])


def _phpass_base64(raw: bytes) -> str:
    """Its own alphabet, least significant bits first."""
    text = ""
    for start in range(0, len(raw), 3):
        group = raw[start : start + 3]
        value = int.from_bytes(group, "little")
        for _ in range(len(group) + 1):
            text += _PHPASS[value & 63]
            value >>= 6
    return text


def _salted(custom: CustomHash, password: bytes) -> bytes:
    if custom.salt is None:
        return password
    salt = custom.salt.read()
    return salt + password if custom.salt.position == "prefix" else password + salt


def _digest(name: str, data: bytes) -> bytes:
    if name == "md4":  # OpenSSL 3 keeps it in a provider that is not loaded
        return MD4.new(data).digest()  # noqa: S303 - not our choice
    return hashlib.new(name, data, usedforsecurity=False).digest()


def _base64(text: str) -> bytes:
    """With padding or without, in either alphabet; `.` for `+` as some systems write it."""
    plain = text.strip().replace("-", "+").replace("_", "/").replace(".", "+").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


_VERIFIERS: Final[dict[str, Callable[[CustomHash, bytes], bool]]] = {
    "argon2": _argon2,
    "bcrypt": _bcrypt,
    "hmac": _hmac,
    "ldap": _ldap,
    "md4": _plain,
    "md5": _plain,
    "sha1": _plain,
    "sha256": _plain,
    "sha512": _plain,
    "pbkdf2": _pbkdf2,
    "scrypt": _scrypt,
    "phpass": _phpass,
    "django": _django,
    "aspnet_identity": _aspnet_identity,
}


def stored_form(password_hash: str | None, custom: Any) -> str | None:
    """What `credentials` keeps of an imported user's hash. Raises ValueError, ValidationError."""
    if password_hash is not None:
        recognised(password_hash)
        return password_hash
    if custom is None:
        return None
    return CustomHash.model_validate(custom).model_dump_json(exclude_none=True)
