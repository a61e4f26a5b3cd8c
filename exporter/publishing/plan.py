"""What publishing would do, and the way from there to it having been done."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from exporter.errors import USAGE, PublishError
from exporter.fetch.sendable import Item
from exporter.publishing.contents import handle_of
from exporter.release import signatures

#: "left" is what is there and no part of the release; it is "removed" where the user names it.
State = Literal["new", "changed", "same", "left", "removed"]


@dataclass(frozen=True)
class Planned:
    """One file at a target, and its size in bytes; where it is "left" or "removed", that of what is there."""

    path: str
    state: State
    size: int


@dataclass(frozen=True)
class Plan:
    """What is to be done at one target. ``shown`` is its address; ``steps`` are what is to be done beside files."""

    shown: str
    files: tuple[Planned, ...]
    steps: tuple[str, ...] = ()

    def in_state(self, *states: State) -> list[Planned]:
        return [each for each in self.files if each.state in states]

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.steps or self.in_state("new", "changed", "removed"))

    def to_dict(self) -> dict[str, Any]:
        return {"target": self.shown, "files": [asdict(each) for each in self.files], "steps": list(self.steps)}


def planned(
    shown: str,
    items: Sequence[Item],
    there: dict[str, int],
    same: Callable[[Item], bool],
    remove: Sequence[str],
    steps: Iterable[str] = (),
) -> Plan:
    """Holds what is to be published against what is there.

    Args:
        there: the size of each file at the target, by its path; of the parts of it where releases have files.
        same: whether the bytes of a file that is there, with the right size, are those of the item.
        remove: handles and signatures that the user names, to be removed where they are no part of the release.

    Raises:
        PublishError: there is a signature of another release, which would make this one wrong.
    """
    wanted = {item.path: item for item in items}
    files = []
    for item in items:
        state: State = "new"
        if item.path in there:
            state = "same" if there[item.path] == item.size and same(item) else "changed"
        files.append(Planned(item.path, state, item.size))
    left = {path: size for path, size in sorted(there.items()) if path not in wanted and removable(path)}
    for path, size in left.items():
        files.append(Planned(path, "removed" if removable(path) in remove else "left", size))
    stale = [each.path for each in files if each.state == "left" and each.path in signatures.KINDS]
    if stale:
        raise PublishError(
            f"{shown} has {stale[0]}, which signs another release than this one:\n"
            f"sign this one, or pass --remove {stale[0]}"
        )
    return Plan(shown, tuple(files), tuple(steps))


def removable(path: str) -> str | None:
    """What the user names to have a file removed: the handle of its artifact, or a signature; None for any other."""
    return path if path in signatures.KINDS else handle_of(path)


def require_removed(remove: Sequence[str], plans: Sequence[Plan]) -> None:
    """Raises PublishError where nothing that the user named to be removed is there, or only what is released."""
    removed = {removable(each.path) for plan in plans for each in plan.in_state("removed")}
    published = {removable(each.path) for plan in plans for each in plan.in_state("new", "changed", "same")}
    for name in remove:
        if name not in removed:
            where = ", ".join(plan.shown for plan in plans)
            why = "it is a part of this release" if name in published else f"{where} has no such artifact or signature"
            raise PublishError(f"--remove {name}: {why}", status=USAGE)
