"""Publishes a release: checked, planned, sent as far as it has changed, and read back."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.files import temporary
from exporter.progress import SILENT, Listener
from exporter.publishing import contents as release_contents
from exporter.publishing import targets
from exporter.publishing.card import CARD_FILE, card
from exporter.publishing.contents import Contents
from exporter.publishing.options import TargetOptions
from exporter.publishing.plan import Plan, require_removed
from exporter.publishing.targets import Target


@dataclass(frozen=True)
class Publishing:
    """What goes to one place, and what is to be done there."""

    target: Target
    contents: Contents
    plan: Plan


@contextlib.contextmanager
def prepared(
    release: Path,
    address: str,
    options: TargetOptions = TargetOptions(),
    *,
    remove: Sequence[str] = (),
    listener: Listener = SILENT,
) -> Iterator[list[Publishing]]:
    """The plan for each place that a release goes to; for the time of the block, in which it can be carried out.

    Nothing is written anywhere.

    Args:
        address: a folder, an address of fsspec's, ``hf://OWNER/NAME`` or ``kaggle://OWNER/MODEL``. With ``{model}`` in
            it, each model goes to a place of its own, with a manifest, an index and a provenance of its own.
        remove: handles, and names of signatures, to be removed where they are there and no part of the release.

    Raises:
        ReleaseError: a check of the release's files fails.
        PublishError: the target cannot be had, or a name to remove is not there.
        ConfigError: the address is none, or what it needs is not installed.
    """
    targets.require_options(address, options)
    kind = targets.kind_of(address)
    split = targets.of_each_model(address)
    # Before the release is read, which can take a minute: the address may be none.
    whole = None if split else kind.make(address, options)
    contents = release_contents.sound_contents(release, listener.note)
    places: list[tuple[Target, Contents]] = []
    with contextlib.ExitStack() as stack:
        if whole is not None:
            places.append((whole, contents))
        else:
            for model in contents.models:
                folder = stack.enter_context(temporary.folder())
                part = release_contents.of_model(contents, model, release, folder)
                places.append((kind.make(targets.of_model(address, model), options), part))
        if kind.card:
            folder = stack.enter_context(temporary.folder())
            for number, (target, part) in enumerate(places):
                own = folder / str(number)
                own.mkdir()
                text = card(part.records, target.shown.partition("://")[2]).encode()
                places[number] = target, release_contents.added(part, CARD_FILE, text, own)
        plans = [(target, part, target.plan(part, tuple(remove), listener)) for target, part in places]
        require_removed(remove, [plan for _, _, plan in plans])
        yield [Publishing(target, part, plan) for target, part, plan in plans]


def carry_out(publishings: Sequence[Publishing], listener: Listener = SILENT) -> None:
    """Does what is planned, place by place.

    Raises:
        PublishError: a target fails, or has other bytes than those that were sent. The same again continues.
        ReleaseError: a file of the release was changed meanwhile.
    """
    for each in publishings:
        if each.plan.changes:
            each.target.publish(each.contents, each.plan, listener)
