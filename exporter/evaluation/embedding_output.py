"""Where feature vectors go on this machine: the names of the files, and what each kind of file needs."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import NOT_DONE, EvaluationError, MachineError
from exporter.evaluation.embedding_record import RECORD_FILE

#: Files that the vectors are joined to, by their suffix, with the package that writes one and its extra.
JOINED = {".parquet": ("pyarrow", "parquet"), ".tfrecord": None, ".tfrecords": None}


@dataclass(frozen=True)
class Output:
    """Where the vectors go: a file of one of the kinds in `JOINED`, or a folder for parts with an index.

    ``name`` is what the user calls it, where that is not the path.
    """

    path: Path
    name: str = ""

    @property
    def named(self) -> str:
        return self.name or str(self.path)

    @property
    def joined(self) -> bool:
        return self.path.suffix.lower() in JOINED

    @property
    def parts(self) -> Path:
        """The folder for the parts, and for the ledger while it runs."""
        return self.path.with_name(f"{self.path.name}.parts") if self.joined else self.path

    @property
    def record(self) -> Path:
        """What says what is in it, once it is finished."""
        return self.path.with_name(f"{self.path.name}.json") if self.joined else self.path / RECORD_FILE

    def require(self) -> None:
        """Refuses an output that cannot be written here, before anything is computed.

        Raises:
            MachineError: the package that writes it is not installed.
            EvaluationError: something else is in its place.
        """
        package = JOINED.get(self.path.suffix.lower())
        if package and importlib.util.find_spec(package[0]) is None:
            folder = self.named[: -len(self.path.suffix)]
            raise MachineError(
                f"{self.named} needs {package[0]}: pip install 'nasexport[{package[1]}]',\n"
                f"or name a folder (--output {folder}), for files of NumPy's with an index"
            )
        if self.joined and self.path.is_dir():
            raise EvaluationError(f"{self.path} is a folder: name a file, or a folder of another name", status=NOT_DONE)
        if not self.joined and self.path.exists() and not self.path.is_dir():
            expected = f"expected a folder, or a name that ends in {', '.join(JOINED)}"
            raise EvaluationError(f"{self.path} is a file: {expected}", status=NOT_DONE)
