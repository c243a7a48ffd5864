"""Whether a machine's host key is the one that is known: the files `known_hosts` of OpenSSH, read only.

Their format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": plain, wildcard, negated and hashed names,
ports in `[host]:port`, and revoked keys. Certificate authorities are passed over, as certificates of
hosts are never asked for.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KnownHosts", "KnownKey", "fingerprint"]


@dataclass(frozen=True)
class KnownKey:
    """A line of a file that speaks of the host that was asked for."""

    kind: str  # such as ssh-ed25519
    blob: bytes
    place: str  # file:line
    is_revoked: bool = False


class KnownHosts:
    """What the files at `paths` know of one host; files that are not there know nothing."""

    def __init__(self, paths: Iterable[Path], host: str, port: int) -> None:
        plain, with_port = host.lower(), f"[{host.lower()}]:{port}"
        lines = list(_lines(paths))
        self._keys = list(_matching(lines, plain if port == 22 else with_port))
        # As OpenSSH: the same machine may be known by its name alone, but nothing is refused for that.
        self._elsewhere = list(_matching(lines, plain)) if port != 22 else []

    @property
    def kinds(self) -> list[str]:
        """The types of the keys that are known; to ask the host for one of those."""
        keys = self._keys or self._elsewhere
        return list(dict.fromkeys(key.kind for key in keys if not key.is_revoked))

    def knows(self, blob: bytes) -> bool:
        """Whether the host may show this key."""
        return any(key.blob == blob for key in self._keys + self._elsewhere) and not self.revoked(blob)

    def revoked(self, blob: bytes) -> KnownKey | None:
        """The line that says this key is not to be trusted any more."""
        keys = self._keys + self._elsewhere
        return next((key for key in keys if key.is_revoked and key.blob == blob), None)

    def other(self, kind: str) -> KnownKey | None:
        """A key that the host should have shown instead; of the same type if there is one."""
        keys = [key for key in self._keys if not key.is_revoked]
        return min(keys, key=lambda key: key.kind != kind, default=None)


def fingerprint(blob: bytes) -> str:
    """As `ssh-keygen -l` shows it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def _lines(paths: Iterable[Path]) -> Iterator[tuple[str, list[str]]]:
    """Place and words of each line that is no comment."""
    for path in paths:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.split()
            if len(words) >= 3 and not words[0].startswith("#"):
                yield f"{path}:{number}", words


def _matching(lines: Iterable[tuple[str, list[str]]], name: str) -> Iterator[KnownKey]:
    for place, words in lines:
        marker = words[0] if words[0].startswith("@") else ""
        names, kind, key = (
            (words[1:] if marker else words)[:3] if len(words) > 3 or not marker else ("", "", "")
        )
        if marker not in {"", "@revoked"} or not _names(names.split(","), name):
            continue
        try:
            blob = base64.b64decode(key, validate=True)
        except binascii.Error:
            continue
        yield KnownKey(kind, blob, place, is_revoked=bool(marker))


def _names(patterns: Sequence[str], name: str) -> bool:
    if any(pattern.startswith("!") and _is(pattern[1:], name) for pattern in patterns):
        return False
    return any(_is(pattern, name) for pattern in patterns if not pattern.startswith("!"))


def _is(pattern: str, name: str) -> bool:
    """Whether `name` is meant by `pattern`: `|1|salt|hash`, or a name with `*` and `?`."""
    if not pattern.startswith("|1|"):
        literal = pattern.lower().replace("[", "[[]")  # brackets are no wildcards here
        return fnmatch.fnmatchcase(name, literal)
    try:
        salt, expected = (base64.b64decode(part) for part in pattern[3:].split("|"))
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), expected)
