"""Addresses of archives: whatever a lock file, an option or a variable says is one that can be asked, or refused."""

from pathlib import Path
from urllib.parse import quote

import fsspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.errors import ConfigError
from exporter.fetch.addresses import addresses, credentials, local_path, protocol_of_store
from exporter.fetch.lock import LockedArchive
from exporter.fetch.stores import require_protocol
from exporter.settings import Settings
from exporter.terminal import message

_PIECES = st.sampled_from(
    [
        *(
            "http://",
            "https://",
            "HTTP:",
            "file://",
            "ftp://",
            "c:",
            "//",
            "/",
            "\\",
            "?",
            "#",
            "@",
            ":",
            "[",
            "]",
            "[::1]",
        ),
        *(
            "::1",
            "%",
            "%00",
            "%zz",
            "~",
            "~nobody-of-that-name/",
            "..",
            "host",
            "user",
            "s3cr3t",
            "80",
            "99999",
            "-1",
            " ",
        ),
        *("\0", "\n", "\x1b", "\u202e", "\udcff", "é", "xn--", "\uff0f", "0x7f.1", "127.0.0.1", "a" * 300),
    ]
)
_ADDRESS = st.lists(_PIECES, max_size=8).map("".join) | st.text(max_size=20)


@settings(max_examples=400, deadline=None)
@given(mirror=_ADDRESS, url=_ADDRESS, offline=st.booleans())
@example("http://[::1", "https://host/x", False)
@example("http://host:99999/", "https://host/x", False)
@example("~nobody-of-that-name/", "https://host/x", False)
@example("file://[", "https://host/x", True)
@example("s3://bucket/folder", "https://host/x", False)
@example("nothing://bucket/folder", "https://host/x", False)
def test_an_address_can_be_asked_or_is_refused(mirror: str, url: str, offline: bool) -> None:
    locked = LockedArchive("archive", url, Path("checkpoints.lock"))
    try:
        found = addresses(locked, Settings(mirrors=(mirror,), offline=offline))
    except ConfigError as error:
        said = message(str(error))
        assert said.startswith("cannot fetch from ") and len(said.splitlines()) <= 2
        return
    for address in found:
        path = local_path(address)
        assert path is not None or not offline
        if path is None and protocol_of_store(address) is not None:
            assert require_protocol(address) in fsspec.available_protocols()
        elif path is None:
            bare, _ = credentials(address)
            assert "@" not in bare.split("/")[2]
        else:
            assert "\0" not in str(path)


@settings(max_examples=200, deadline=None)
@given(user=st.text(max_size=8), password=st.text(max_size=8))
def test_a_user_name_and_a_password_come_out_as_they_went_in(user: str, password: str) -> None:
    address = f"https://{quote(user, safe='')}:{quote(password, safe='')}@host:8443/models/x?y"
    assert credentials(address) == ("https://host:8443/models/x?y", (user, password))


def test_a_folder_of_nobody_is_a_folder_that_is_not_there() -> None:
    assert local_path("~there-is-no-such-user/models") == Path("~there-is-no-such-user/models")
