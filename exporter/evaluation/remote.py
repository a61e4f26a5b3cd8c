"""What addresses of stores may mean in place of a path: see `exporter.fetch.remote`."""

from pathlib import PurePosixPath

from exporter.evaluation.image_files import SUFFIXES
from exporter.evaluation.shards import shard
from exporter.fetch.remote import CHECKPOINT, Kind


def _is_of_data_set(path: PurePosixPath) -> bool:
    """Whether a file is a picture or a shard, which is all that is read of a data set's folder."""
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and (path.name.lower().endswith(SUFFIXES) or shard(path.name) is not None)


IMAGES = Kind("data set", _is_of_data_set)
#: By the names that the command line has for them.
KINDS = {"checkpoint": CHECKPOINT, "images": IMAGES}
