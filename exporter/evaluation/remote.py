"""What addresses of stores may mean in place of a path: see `exporter.fetch.remote`."""

from pathlib import PurePosixPath

from exporter.evaluation.file_lists import LIST_SUFFIXES
from exporter.evaluation.image_files import SUFFIXES
from exporter.evaluation.shards import shard
from exporter.evaluation.tars import TAR_SUFFIXES
from exporter.fetch.remote import CHECKPOINT, Kind


def _is_of_data_set(path: PurePosixPath) -> bool:
    """Whether a file is a picture, a shard, a tar file or a list, which is all that is read of a data set."""
    hidden = any(part.startswith(".") for part in path.parts)
    name = path.name.lower()
    wanted = (*SUFFIXES, *TAR_SUFFIXES, *LIST_SUFFIXES)
    return not hidden and (name.endswith(wanted) or shard(path.name) is not None)


IMAGES = Kind("data set", _is_of_data_set)
#: By the names that the command line has for them.
KINDS = {"checkpoint": CHECKPOINT, "images": IMAGES}
