"""Pages with the address that they were asked for at, in the place of the one that stands for any.

Who asks for a page and not for a file gets it so: at the address of a model or of the whole release, or as a browser
does, by the name of HTML. Who copies a release file by file gets what is stored, so that the copy can be verified.
"""

import re
from typing import Any

from exporter.hosting.request import Request
from exporter.release import address

#: What a page is sent with: caches must not give one kind of client what the other was sent.
VARY = {"Vary": "Accept"}
_ABSOLUTE = re.compile(rf"(https?)://({address.AUTHORITY})(/.*)?", re.IGNORECASE)


def wants_page(request: Request, path: str) -> bool:
    """Whether a client asks for a page, and not for the file of that path; ``*/*`` is what programs accept."""
    kinds = (kind.partition(";")[0].strip().lower() for kind in request.headers.get("Accept", "").split(","))
    return "text/html" in kinds or not request.target.partition("?")[0].endswith(f"/{path}")


def base_url(request: Request, own: Any) -> str:
    """The address of this server as its client knows it.

    Args:
        own: the address of the server's end of the connection, for a client that does not say, or says what no program
            can have.
    """
    if match := _ABSOLUTE.fullmatch(request.target):
        return f"{match[1].lower()}://{match[2]}"
    if re.fullmatch(address.AUTHORITY, host := request.headers.get("Host", "")):
        return f"http://{host}"
    name, port = own[:2]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def addressed(content: bytes, base: str) -> bytes:
    """A page with that address in its programs."""
    return content.replace(address.DEFAULT.encode(), base.encode())
