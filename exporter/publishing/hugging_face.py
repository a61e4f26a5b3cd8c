"""A model repository of the Hugging Face Hub, or of a server that speaks as it does, as the target of a release.

All that has changed is one commit: a reader sees the release as it was or as it is. What an interrupted run has sent
is there already, and is not sent again. Imports huggingface_hub, so it is imported only for such a target.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import exporter
from exporter.errors import NOT_DONE, WRONG, ConfigError, PublishError, ReleaseError
from exporter.fetch.sendable import Item
from exporter.fetch.stores import EXTRA, failures
from exporter.files.hashing import sha256
from exporter.progress import Listener
from exporter.publishing.contents import Contents, handle_of
from exporter.publishing.plan import Plan, planned
from exporter.terminal import counted

try:
    import huggingface_hub
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils import disable_progress_bars
    from huggingface_hub.utils import logging as hub_logging
except ImportError as error:
    missing = (error.name or str(error)).partition(".")[0]
    raise ConfigError(f"{missing} is not installed: {EXTRA}", status=NOT_DONE) from error


class HuggingFaceTarget:
    """A repository.

    Args:
        name: ``OWNER/NAME``.
        create: who may see it, if it is made because it is not there; None not to make it.
        tag: the name that its state gets when it is published.
        read_back: whether to read every byte that is there; the hub states hashes of all.
    """

    def __init__(self, name: str, create: str | None, tag: str | None, read_back: bool):
        self.shown = f"hf://{name}"
        self._name, self._create, self._tag, self._read_back = name, create, tag, read_back
        disable_progress_bars()
        hub_logging.set_verbosity_error()
        self._api = HfApi(library_name="nasexport", library_version=exporter.__version__)
        #: The commit that the plan was made for; None where there is no repository yet.
        self._head: str | None = None

    def plan(self, contents: Contents, remove: Sequence[str], listener: Listener) -> Plan:
        """What is to be done there; files are compared by the hashes that the hub states.

        Raises:
            PublishError: it cannot be had, or is not there and is not to be made; or the tag is there already, for
                something else.
        """
        listener.note(f"looking at {self.shown}")
        self._head = self._found_head()
        there = self._files(self._head) if self._head else {}

        def same(item: Item) -> bool:
            return self._has(item, there[item.path], self._head)

        steps = [] if self._head else [f"make the {self._create} repository {self._name}"]
        sizes = {path: file.size for path, file in there.items()}
        plan = planned(self.shown, contents.items, sizes, same, remove, steps)
        if self._tag and self._is_to_be_tagged(plan):
            steps.append(f"tag it {self._tag}")
        return Plan(plan.shown, plan.files, tuple(steps))

    def publish(self, contents: Contents, plan: Plan, listener: Listener) -> None:
        """Sends what is new or changed, commits all of it at once, and holds the hashes there against those here.

        Raises:
            PublishError: the hub refuses or fails, or has other hashes afterwards.
            ReleaseError: a file of the release is no longer what it was.
        """
        with self._failures():
            if self._head is None:
                listener.step(f"making {self.shown}")
                self._api.create_repo(self._name, private=self._create == "private", exist_ok=True)
                self._head = self._api.repo_info(self._name).sha
        wanted = {each.path for each in plan.in_state("new", "changed")}
        additions = self._sent([item for item in contents.items if item.path in wanted], listener)
        removals = [CommitOperationDelete(each.path, is_folder=False) for each in plan.in_state("removed")]
        if additions or removals:
            listener.step("committing")
            artifacts = counted(len(contents.records), "artifact")
            with self._failures():
                done = self._api.create_commit(
                    self._name,
                    [*additions, *removals],
                    commit_message=f"Publish {artifacts} with nasexport {exporter.__version__}",
                    parent_commit=self._head,
                )
                self._head = done.oid
        listener.step("reading the hashes back")
        self._require_there(contents, listener)
        if self._tag and any(step.startswith("tag ") for step in plan.steps):
            with self._failures():
                self._api.create_tag(self._name, tag=self._tag, revision=self._head)

    def _sent(self, items: Sequence[Item], listener: Listener) -> list[Any]:
        """The operations of the commit; large files are sent here, those of one artifact after the other."""
        additions = []
        total, done = sum(item.size for item in items), 0
        for handle, group in itertools.groupby(items, lambda item: handle_of(item.path)):
            members = list(group)
            listener.step(f"sending {handle or ', '.join(item.path for item in members)}")
            for item in members:
                if sha256(item.file) != item.sha256:
                    raise ReleaseError(f"{item.file} was changed while it was published: make the release again")
            with self._failures():
                operations = [CommitOperationAdd(item.path, str(item.file)) for item in members]
                self._api.preupload_lfs_files(self._name, operations, free_memory=False)
            additions += operations
            done += sum(item.size for item in members)
            listener.transferred(done, total)
        return additions

    def _require_there(self, contents: Contents, listener: Listener) -> None:
        assert self._head is not None
        there = self._files(self._head)
        for item in contents.items:
            file = there.get(item.path)
            if file is None or file.size != item.size or not self._has(item, file, self._head):
                raise PublishError(
                    f"{self.shown} has {'another' if file else 'no'} {item.path} after it was sent:\n"
                    f"expected {item.size:,} bytes with sha256 {item.sha256}",
                    status=WRONG,
                )

    def _found_head(self) -> str | None:
        with self._failures("cannot read"):
            if huggingface_hub.get_token() is None:
                raise PublishError(
                    f"{self.shown} needs a token: set HF_TOKEN, or log in with `hf auth login`", status=NOT_DONE
                )
            try:
                return self._api.repo_info(self._name).sha
            except RepositoryNotFoundError as error:
                if self._create:
                    return None
                raise PublishError(
                    f"there is no repository {self._name}, or the token may not see it:\n"
                    f"pass --create private, or --create public, to make it",
                    status=NOT_DONE,
                ) from error

    def _files(self, revision: str) -> dict[str, Any]:
        with self._failures("cannot read"):
            found = self._api.list_repo_tree(self._name, recursive=True, revision=revision)
            return {file.path: file for file in found if isinstance(file, RepoFile)}

    def _has(self, item: Item, file: Any, revision: str | None) -> bool:
        """Whether a file of the repository, with the right size, has the item's bytes, by the hash of them there."""
        if file.lfs is not None:
            stated = bool(file.lfs.sha256 == item.sha256)
        else:
            stated = bool(file.blob_id == item.digest("sha1", b"blob %d\0" % item.size)[0].hex())
        return stated and (not self._read_back or self._read(item.path, revision) == item.sha256)

    def _read(self, path: str, revision: str | None) -> str:
        """The sha256 of a file's bytes, as anybody gets them."""
        import hashlib

        with self._failures("cannot read"):
            files = huggingface_hub.HfFileSystem(skip_instance_cache=True, use_listings_cache=False)
            digest = hashlib.sha256()
            with files.open(f"{self._name}@{revision}/{path}", "rb") as file:
                while chunk := file.read(2**20):
                    digest.update(chunk)
            return digest.hexdigest()

    def _is_to_be_tagged(self, plan: Plan) -> bool:
        if self._head is None:
            return True
        with self._failures("cannot read"):
            tags = {tag.name: tag.target_commit for tag in self._api.list_repo_refs(self._name).tags}
        if self._tag not in tags:
            return True
        if plan.changes or tags[self._tag] != self._head:
            raise PublishError(
                f"{self.shown} has a tag {self._tag}, for something else: tags are never moved, choose another"
            )
        return False

    @contextlib.contextmanager
    def _failures(self, doing: str = "cannot publish to") -> Iterator[None]:
        with failures(self.shown, PublishError, doing):
            yield
