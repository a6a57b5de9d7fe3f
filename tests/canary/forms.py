"""Marked secrets, and the forms in which one may turn up somewhere.

A secret's core is plain letters and digits, so that JSON, URLs, HTML and quoting leave it as it
is; the wrapping around it has what they change. Encodings are searched in their own forms.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

CORE: str = "canary7"


def mint(kind: str) -> str:
    """A fresh secret: `kind` is what a find is reported as."""
    return f"{CORE}{kind}{secrets.token_hex(6)}"


def wrapped(core: str) -> str:
    """A password around a core, with characters that every notation writes in its own way."""
    return f"pä\"s's/{core}+%&<~ 9Z"


def forms_of(secret: bytes) -> Iterator[bytes]:
    """Plain, reversed, hex, base64 at each alignment, two-byte characters, and escapes."""
    text = secret.decode("latin-1")
    yield secret
    yield secret[::-1]
    yield secret.hex().encode()
    yield text.encode("utf-16-le")
    yield "".join(f"%{byte:02x}" for byte in secret).encode()
    yield "".join(f"\\u{byte:04x}" for byte in secret).encode()
    yield "".join(f"\\x{byte:02x}" for byte in secret).encode()
    yield from _base64_forms(secret)


def _base64_forms(secret: bytes) -> Iterator[bytes]:
    """The characters that depend on the secret alone, wherever in a longer text it stands."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + secret).rstrip(b"=")
        end = len(encoded) if (offset + len(secret)) % 3 == 0 else -1
        inner = encoded[(0, 2, 3)[offset] : end]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


@dataclass
class Searcher:
    """Looks for secrets by name; each find is `name: form, in place`."""

    secrets: dict[str, bytes] = field(default_factory=dict, repr=False)

    def add(self, name: str, secret: str | bytes) -> None:
        """One more to look for; at least eight bytes, for less turns up by chance."""
        raw = secret if isinstance(secret, bytes) else secret.encode()
        assert len(raw) >= 8, name
        self.secrets[name] = raw

    def found(
        self, places: Mapping[str, bytes] | Iterable[tuple[str, bytes]], allowed: Iterable[str] = ()
    ) -> list[str]:
        """What is where; `allowed` are names that may be in any of these places."""
        given = places.items() if isinstance(places, Mapping) else places
        skipped = set(allowed)
        needles = [
            (name, form)
            for name, secret in self.secrets.items()
            if name not in skipped
            for form in dict.fromkeys(forms_of(secret))
        ]
        return sorted(
            {
                f"{name} in {place}: {_around(hay, at)}"
                for place, hay in given
                for name, at in _hits(hay, needles)
            }
        )


def _hits(hay: bytes, needles: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, int]]:
    lower = hay.lower()
    for name, form in needles:
        at = hay.find(form)
        if at < 0:
            at = lower.find(form.lower())
        if at >= 0:
            yield name, at


def _around(hay: bytes, at: int) -> str:
    return repr(hay[max(at - 60, 0) : at + 60])
