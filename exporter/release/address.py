"""The address of a release, as its pages have it.

A release that nobody gave an address has that of ``nasexport serve`` as it is by default in its stored pages. It stands
for any: ``serve`` puts the address that it was asked at in its place, in what it sends to a browser.
"""

import re
from typing import Annotated, TypeAlias

import msgspec

#: What stored pages have where nobody said where the release will be.
DEFAULT = "http://127.0.0.1:8000"

#: A name or an IPv4 address, or an IPv6 address in brackets; then perhaps a port. None of its characters means anything
#: in HTML, Markdown, Python or a shell, where it is quoted.
AUTHORITY = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
_PATTERN = rf"\Ahttps?://{AUTHORITY}(/[A-Za-z0-9._~-]+)*\Z"
EXPECTED = "http:// or https://, a host and perhaps folders: https://models.example.org/nasnet"

BaseUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=_PATTERN, max_length=500, description="an address")]


def base_url(text: str) -> str:
    """The address that a user gave, without the slashes at its end.

    Raises:
        ValueError: it is none that pages can have.
    """
    address = text.rstrip("/")
    if len(address) > 500 or not re.fullmatch(_PATTERN, address):
        raise ValueError(f"{text!r} is not an address: expected {EXPECTED}")
    return address
