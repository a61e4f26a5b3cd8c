"""The model pages of a release, written anew where they link other artifacts than it has, or have another address.

What a page has of its release is in the record of its artifact, so that it follows from that alone.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from exporter.errors import NasexportError, ReleaseError
from exporter.files import staging
from exporter.files.hashing import File
from exporter.release import derived, model_page_html
from exporter.release.claims import inputs_of
from exporter.release.manifest import PageLinks, Record, encoded


def links(records: Iterable[Record], base_url: str | None) -> dict[str, PageLinks]:
    """What the pages of each artifact have of a release with these records, by handle."""
    by_model: dict[str, list[str]] = {}
    records = sorted(records, key=lambda record: record.handle)
    for record in records:
        by_model.setdefault(record.model, []).append(record.handle)
    return {
        record.handle: PageLinks(
            base_url,
            tuple("/".join(other.split("/")[-2:]) for other in by_model[record.model] if other != record.handle),
        )
        for record in records
    }


def problems(records: Sequence[Record]) -> Iterator[str]:
    """Where pages link other artifacts than the release has, or give it more than one address."""
    if not records:
        return
    base_url = records[0].page_links.base_url
    expected = links(records, base_url)
    for record in records:
        found, wanted = record.page_links, expected[record.handle]
        if found.base_url != base_url:
            own = records[0].handle
            yield f"{record.handle}: its pages have the address {found.base_url}, those of {own} {base_url}"
        elif found != wanted:
            yield f"{record.handle}: its pages link {_listed(found)}, expected {_listed(wanted)}"


def need_renewal(records: Sequence[Record], base_url: str | None) -> list[Record]:
    """Those whose pages are not what a release with these records and this address has.

    The pages of what another nasexport made stay as they are: only that one can say what they are.

    Raises:
        ReleaseError: such pages have another address.
    """
    wanted = links(records, base_url)
    found = []
    for record in records:
        if record.page_links == wanted[record.handle]:
            continue
        if inputs_of(record).is_of_this_code:
            found.append(record)
        elif record.page_links.base_url != base_url:
            raise ReleaseError(
                f"the pages of {record.handle} have the address {record.page_links.base_url}, and only the nasexport "
                f"that made them can give them {base_url or 'none'}:\nrelease it again, or keep the address"
            )
    return found


def renew(release: Path, record: Record, page_links: PageLinks) -> Record:
    """Writes the pages of an artifact, and then its record, which is given back.

    Raises:
        ReleaseError: the artifact is damaged, or a file cannot be written.
    """
    record = msgspec.structs.replace(record, page_links=page_links)
    try:
        page, page_html = model_page_html.pages(derived.page_facts(record, derived.metadata_of(release, record)))
    except NasexportError as error:
        raise ReleaseError(f"{record.handle} in {release} is damaged: {error}\nrelease it again") from error
    place = record.place
    contents = {place.page: page.encode(), place.page_html: page_html.encode()}
    written = [File(path, len(content), hashlib.sha256(content).hexdigest()) for path, content in contents.items()]
    record = msgspec.structs.replace(record, page=written[0], page_html=written[1])
    contents[place.record] = encoded(record.to_dict())
    try:
        for path, content in contents.items():
            staging.write(release / path, content)
    except OSError as error:
        raise ReleaseError(f"cannot write {error.filename or release}: {error.strerror}") from error
    return record


def _listed(page_links: PageLinks) -> str:
    return ", ".join(page_links.artifacts) or "none"
