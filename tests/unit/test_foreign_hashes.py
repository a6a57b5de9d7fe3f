"""Hashes that others made, by vectors that others published."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import argon2
import bcrypt
import pytest
from pydantic import ValidationError

from services.auth.foreign_hashes import CustomHash, stored_form, verify

RFC_7914 = (
    "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
    "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
)
RFC_6070 = base64.b64encode(bytes.fromhex("4b007901b765489abead49d926f721d065a429c1")).decode()
SALT = base64.b64encode(b"salt").decode()
SSHA = base64.b64encode(hashlib.sha1(b"secretsalt").digest() + b"salt").decode()  # noqa: S324
DJANGO = base64.b64encode(hashlib.pbkdf2_hmac("sha256", b"secret", b"seasalt", 1000)).decode()

SELF_DESCRIBING = {
    "bcrypt 2b": ("secret", bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()),
    "bcrypt 2y": (
        "secret",
        bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode().replace("$2b", "$2y"),
    ),
    "argon2id": ("secret", argon2.PasswordHasher(time_cost=1, memory_cost=64).hash("secret")),
    # Published with phpass itself.
    "phpass": ("test12345", "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0"),
    "RFC 6070, PHC form": ("password", f"$pbkdf2-sha1$i=4096,l=20${SALT}${RFC_6070}"),
    "Django": ("secret", f"pbkdf2_sha256$1000$seasalt${DJANGO}"),
    "RFC 2307": ("secret", f"{{SSHA}}{SSHA}"),
    "RFC 2307, MD5": ("", "{MD5}1B2M2Y8AsgTpgAmY7PhCfg=="),
}


@pytest.mark.parametrize("name", SELF_DESCRIBING)
def test_a_hash_that_says_what_it_is(name: str) -> None:
    password, text = SELF_DESCRIBING[name]

    stored = stored_form(text, None)

    assert stored is not None
    assert verify(stored, password)
    assert not verify(stored, password + "x")


CUSTOM: dict[str, tuple[str, dict[str, Any]]] = {
    "MD4, RFC 1320": (
        "message digest",
        {
            "algorithm": "md4",
            "hash": {"value": "d9130a8164549fe818874806e1c7014b", "encoding": "hex"},
        },
    ),
    "HMAC, RFC 4231": (
        "what do ya want for nothing?",
        {
            "algorithm": "hmac",
            "hash": {
                "value": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                "encoding": "hex",
                "digest": "sha256",
                "key": {"value": "Jefe"},
            },
        },
    ),
    "scrypt, RFC 7914": (
        "password",
        {
            "algorithm": "scrypt",
            "hash": {"value": RFC_7914, "encoding": "hex"},
            "salt": {"value": "NaCl"},
            "cost": 1024,
            "parallelization": 16,
            "keylen": 64,
        },
    ),
    # Of the tests of ASP.NET Core's PasswordHasher.
    "ASP.NET Identity 2": (
        "my password",
        {
            "algorithm": "aspnet_identity",
            "hash": {
                "value": "AAABAgMEBQYHCAkKCwwNDg+ukCEMDf0yyQ29NYubggHIVY0sdEUfdyeM+E1LtH1uJg=="
            },
        },
    ),
    "ASP.NET Identity 3": (
        "my password",
        {
            "algorithm": "aspnet_identity",
            "hash": {
                "value": "AQAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUEw=="
            },
        },
    ),
    "SHA-512 with a salt behind": (
        "secret",
        {
            "algorithm": "sha512",
            "hash": {"value": hashlib.sha512(b"secretpepper").hexdigest(), "encoding": "hex"},
            "salt": {
                "value": base64.b64encode(b"pepper").decode(),
                "encoding": "base64",
                "position": "suffix",
            },
        },
    ),
    "SHA-1 of UTF-16": (
        "sécret",
        {
            "algorithm": "sha1",
            "hash": {
                "value": hashlib.sha1("sécret".encode("utf-16-le")).hexdigest(),  # noqa: S324
                "encoding": "hex",
            },
            "password": {"encoding": "utf16le"},
        },
    ),
}


@pytest.mark.parametrize("name", CUSTOM)
def test_a_hash_that_has_to_be_described(name: str) -> None:
    password, given = CUSTOM[name]

    stored = stored_form(None, given)

    assert stored is not None
    assert verify(stored, password)
    assert not verify(stored, password + "x")
    assert not verify(stored, "")


@pytest.mark.parametrize(
    "text",
    [
        "$2b$31$" + "a" * 53,
        "$argon2id$v=19$m=1048576,t=3,p=1$c29tZXNhbHQ$" + "A" * 43,
        "$pbkdf2-sha256$i=999999999,l=20$c2FsdA$" + RFC_6070,
        "$P$Z" + "a" * 30,
    ],
)
def test_a_hash_that_would_occupy_a_thread_for_minutes_is_refused(text: str) -> None:
    with pytest.raises((ValueError, ValidationError)):
        stored_form(text, None)


@pytest.mark.parametrize(
    "change",
    [
        {"cost": 2**20, "blockSize": 64},
        {"cost": 1000},
        {"salt": None},
        {"hash": {"value": "00", "encoding": "hex"}},
        {"hash": {"value": "zz", "encoding": "hex"}},
        {"algorithm": "rot13"},
    ],
)
def test_a_description_that_cannot_be_verified_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        stored_form(None, CUSTOM["scrypt, RFC 7914"][1] | change)

    assert RFC_7914 not in str(refused.value)


def test_bcrypt_reads_72_bytes_as_its_makers_did() -> None:
    long = "x" * 72
    stored = bcrypt.hashpw(long.encode(), bcrypt.gensalt(4)).decode()

    assert verify(stored, long + "and more")
    assert not verify(stored, long[:-1])


@pytest.mark.parametrize("stored", ["", "plain", "{", '{"algorithm": "md5"}', "$2b$", "{SSHA}!!"])
def test_what_cannot_be_read_lets_nobody_in(stored: str) -> None:
    assert not verify(stored, "")
    assert not verify(stored, "plain")


def test_a_description_never_prints_its_hash() -> None:
    assert RFC_7914 not in repr(CustomHash.model_validate(CUSTOM["scrypt, RFC 7914"][1]))
