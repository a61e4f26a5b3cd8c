"""The targets that users name, and the release split up for them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from exporter.errors import USAGE, PublishError
from exporter.fetch import stores
from exporter.fetch.addresses import without_password
from exporter.progress import Listener
from exporter.publishing.contents import Contents
from exporter.publishing.options import TargetOptions
from exporter.publishing.plan import Plan

#: In a target it stands for the name of each model, which then has a place of its own.
MODEL = "{model}"
_HUB = re.compile(r"(?P<owner>[A-Za-z0-9][\w.-]{0,95})/(?P<name>[\w.{}-]{1,96})")


class Target(Protocol):
    """Where a release, or the part of it about one model, goes."""

    shown: str

    def plan(self, contents: Contents, remove: tuple[str, ...], listener: Listener) -> Plan: ...

    def publish(self, contents: Contents, plan: Plan, listener: Listener) -> None: ...


def _store_target(address: str, options: TargetOptions) -> Target:
    from exporter.publishing.store_target import StoreTarget

    return StoreTarget(stores.store(address, PublishError), options.read_back)


def _hugging_face(address: str, options: TargetOptions) -> Target:
    name = _hub_name(address)  # what is no name needs no library to be told
    from exporter.publishing.hugging_face import HuggingFaceTarget

    return HuggingFaceTarget(name, options.create, options.tag, options.read_back)


def _kaggle(address: str, options: TargetOptions) -> Target:
    name = _hub_name(address)
    from exporter.publishing.kaggle import KaggleTarget

    return KaggleTarget(name, options.read_back)


@dataclass(frozen=True)
class TargetKind:
    """A kind of target: what makes one from its address, and what it can do.

    ``takes`` names the `TargetOptions` that it takes; ``card`` says whether each place has a page, ``README.md``.
    """

    make: Callable[[str, TargetOptions], Target]
    takes: frozenset[str] = frozenset({"read_back"})
    card: bool = False


_KINDS: dict[str, TargetKind] = {
    "hf": TargetKind(_hugging_face, frozenset({"create", "tag", "read_back"}), card=True),
    "kaggle": TargetKind(_kaggle),
}
_STORE = TargetKind(_store_target)


def kind_of(address: str) -> TargetKind:
    """What kind of target an address names; what is no hub is a store of fsspec's, or a folder."""
    return _KINDS.get(address.partition("://")[0].lower(), _STORE)


def require_options(address: str, options: TargetOptions) -> None:
    """Raises PublishError for an option that this kind of target has no use for."""
    takes = kind_of(address).takes
    for name in ("create", "tag"):
        if getattr(options, name) and name not in takes:
            raise PublishError(f"--{name} is for hf://OWNER/NAME, not for {without_password(address)}", status=USAGE)


def _hub_name(address: str) -> str:
    """``OWNER/NAME`` of an address such as ``hf://OWNER/NAME``."""
    protocol, _, name = address.partition("://")
    if not _HUB.fullmatch(name):
        raise PublishError(
            f"{without_password(address)} names no repository: expected {protocol}://OWNER/NAME, "
            f"or {protocol}://OWNER/{MODEL} for one for each model",
            status=USAGE,
        )
    return name


def of_each_model(address: str) -> bool:
    """Whether each model has a place of its own."""
    return MODEL in address


def of_model(address: str, model: str) -> str:
    return address.replace(MODEL, model)
