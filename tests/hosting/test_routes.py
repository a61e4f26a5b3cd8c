"""Which file or text answers a request, and which bytes of a file are sent; no socket is opened here."""

from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

from exporter.hosting.responses import Delivery, deliver
from exporter.hosting.routes import ListedFile, Listing, Reply, listing, route
from exporter.release.manifest import read_manifest
from tests.support.addresses import PIECES


@pytest.fixture(scope="module")
def release_listing(release: Path) -> Listing:
    return listing(read_manifest(release).values())


@hypothesis.settings(max_examples=500)
@hypothesis.given(strategies.one_of(strategies.text(), strategies.lists(PIECES).map("/".join)))
def test_every_address_gets_a_listed_file_or_a_short_text(release_listing: Listing, target: str) -> None:
    for request_target in (target, f"/{target}"):
        answer = route(release_listing, request_target)
        if isinstance(answer, Reply):
            assert answer.status in (302, 303, 404)
            assert set(answer.headers.get("Location", "")) <= set("./4")
        else:
            assert answer in release_listing.files.values()


@hypothesis.given(strategies.text(max_size=30), strategies.integers(0, 40), strategies.booleans())
def test_any_range_header_gives_a_range_within_the_file(requested: str, size: int, with_unit: bool) -> None:
    delivery = deliver(
        ListedFile("x"), size, "0" * 64, "GET", {"Range": f"bytes={requested}" if with_unit else requested}
    )
    _is_consistent(delivery, size)


@hypothesis.given(strategies.integers(0, 50), strategies.integers(0, 50), strategies.integers(0, 40))
def test_ranges_are_those_of_the_standard(first: int, last: int, size: int) -> None:
    content = bytes(range(size))
    delivery = deliver(ListedFile("x"), size, "0" * 64, "GET", {"Range": f"bytes={first}-{last}"})
    _is_consistent(delivery, size)
    sent = content[delivery.start : delivery.start + delivery.length]
    if first > last:
        assert delivery.status == 200
    elif first >= size:
        assert delivery.status == 416
    else:
        assert delivery.status == 206 and sent == content[first : last + 1]


def _is_consistent(delivery: Delivery, size: int) -> None:
    assert delivery.status in (200, 206, 416)
    assert 0 <= delivery.start <= delivery.start + delivery.length <= size
    assert delivery.headers["Content-Length"] == str(delivery.length)
    assert (delivery.status == 206) <= (delivery.length > 0)
