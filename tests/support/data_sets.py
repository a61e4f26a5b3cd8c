"""Data sets in the files that others write: TFRecords as TF-Slim writes them, tar files as WebDataset does."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

#: The name of a picture's file, its content, and its label.
Sample = tuple[str, bytes, int | None]


def example(content: bytes, label: int | None, wnid: str | None = None, name: str | None = None) -> bytes:
    """A record of TF-Slim's."""
    import tensorflow as tf

    features: dict[str, tf.train.Feature] = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))
    }
    if label is not None:
        features["image/class/label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    for key, text in {"image/class/synset": wnid, "image/filename": name}.items():
        if text is not None:
            features[key] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def records(folder: Path, shards: Sequence[Sequence[Sample]], split: str = "train") -> Path:
    """Writes shards of TFRecords into a folder, which is returned."""
    import tensorflow as tf

    folder.mkdir(parents=True)
    for number, samples in enumerate(shards):
        with tf.io.TFRecordWriter(str(folder / f"{split}-{number:05}-of-{len(shards):05}")) as writer:
            for name, content, label in samples:
                writer.write(example(content, label, name=name))
    return folder


def tars(folder: Path, shards: Sequence[Sequence[Sample]]) -> Path:
    """Writes tar files into a folder, which is returned: each picture and, after it, its label."""
    folder.mkdir(parents=True)
    for number, samples in enumerate(shards):
        with tarfile.open(folder / f"{number:06}.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            for name, content, label in samples:
                _add(archive, name, content)
                if label is not None:
                    _add(archive, f"{Path(name).stem}.cls", str(label).encode())
    return folder


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
