"""`nasexport.build`."""

from typing import TYPE_CHECKING, get_args

from exporter.artifact.options import Precision
from exporter.models.config import TASKS, Task
from exporter.models.formats import Format, written
from exporter.processes.job import Device
from nasexport import _progress, _settings
from nasexport._arguments import StrPath, computing_on, config_of, one_of, optional_path, path_of, within
from nasexport._progress import Progress
from nasexport._settings import Settings
from nasexport._verify import checks_of
from nasexport.results import Artifact, BuildResult

if TYPE_CHECKING:
    # It imports NumPy.
    from exporter import build as library


def build(
    model: StrPath,
    output: StrPath = "dist",
    *,
    format: Format | None = None,
    version: int | None = None,
    task: Task | None = None,
    checkpoint: StrPath | None = None,
    batch_norm_momentum: float | None = None,
    end_points: bool = False,
    precision: Precision = "float32",
    verify: bool = True,
    overwrite: bool = False,
    jobs: int | None = None,
    device: Device | None = None,
    settings: Settings | None = None,
    progress: Progress = True,
    debug: bool = False,
) -> BuildResult:
    """Writes verified artifacts of a model below a folder, as ``nasexport build`` does.

    What is there already and is what would be written is kept, so that the same call goes on after a stop.

        >>> import nasexport
        >>> built = nasexport.build("nasnet_large", "dist", format="onnx", task="classification")  # doctest: +SKIP
        >>> built[0].path  # doctest: +SKIP
        PosixPath('dist/google/imagenet/nasnet_large/classification/onnx')

    Args:
        model: a name of `nasexport.models`, or the path of a ``.yaml`` file with the configuration of another network
            of the same families.
        output: the folder for the artifacts.
        format: by default the one of ``version``, or else ``saved_model_2``.
        version: by default 4 for ``saved_model_2``, 3 for ``hub``.
        task: ``"classification"`` or ``"feature_vector"``, by default both.
        checkpoint: the weights: a checkpoint's prefix, file, folder or ``.tar.gz``; by default the published archive,
            from the cache or downloaded.
        batch_norm_momentum: the default decay of the moving averages in fine-tuning, from 0 to 1.
        end_points: whether each end point is an output, too, where the format has that choice.
        precision: how weights are stored, where the format has that choice.
        verify: whether artifacts are verified before they are moved to their places.
        overwrite: whether what is there is replaced, whatever it is.
        jobs: how many processes work at a time, by default one for each core.
        device: ``"cpu"`` or ``"gpu"``; by default the processor.
        settings: where archives come from and where they are kept, by default what the command has: the environment's
            ``NASEXPORT_…`` and the user's configuration file.
        progress: whether to show it, or a function that is called with the text of each step.
        debug: shows all that processes print.

    Raises:
        ConfigError: there is no such model, version, format or option.
        CheckpointError, FetchError: the checkpoint cannot be had, or is not the model's.
        VerificationError: an artifact is not right; it was not written, those before it were.
        ArtifactError: something else is there already, or nothing can be written there.
        MachineError: a package is missing that the format needs.
    """
    from exporter.build import BuildOptions, steps
    from exporter.build import build as make

    config = config_of(model)
    if format is not None:
        one_of("format", format, written())
    if task is not None:
        one_of("task", task, TASKS)
    one_of("precision", precision, get_args(Precision))
    if batch_norm_momentum is not None:
        within("batch_norm_momentum", batch_norm_momentum, 0, 1)
    if jobs is not None:
        within("jobs", jobs, 1, float("inf"))
    tasks = (task,) if task else TASKS
    options = BuildOptions(format, version, tasks, batch_norm_momentum, end_points, precision, verify, overwrite, jobs)
    with _progress.shown(progress, config.name, steps(config, options)) as listener, computing_on(device):
        made = make(
            config,
            path_of(output),
            options,
            optional_path(checkpoint),
            _settings.chosen(settings),
            listener=listener,
            debug=debug,
        )
    return BuildResult(tuple(map(_artifact, made)))


def _artifact(made: "library.Artifact") -> Artifact:
    metadata = made.metadata
    return Artifact(
        path=made.path,
        handle=made.handle,
        model=metadata.model.name,
        task=metadata.task,
        version=metadata.version,
        format=metadata.format,
        verified=metadata.verification is not None,
        kept=made.kept,
        synthetic=metadata.source.synthetic is not None,
        checks=checks_of(made.report) if made.report else (),
    )
