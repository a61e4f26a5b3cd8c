"""``--workers`` and ``--cluster``: where commands that run over data sets compute."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from exporter.cli.options import warn
from exporter.cli.values import MOST_JOBS, TextType, path_type

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--workers", type=click.IntRange(1, MOST_JOBS), help="Compute in so many processes of this machine (Dask)."
    ),
    click.option(
        "--cluster",
        metavar="ADDRESS",
        type=TextType("address of a scheduler"),
        help="Compute on a Dask cluster: tls://host:8786, or its scheduler file.",
    ),
    click.option("--tls-ca-file", metavar="FILE", type=path_type, help="Certificate of the cluster's authority (PEM)."),
    click.option("--tls-cert", metavar="FILE", type=path_type, help="Certificate of this side (PEM)."),
    click.option("--tls-key", metavar="FILE", type=path_type, help="Its key (PEM)."),
    click.option("--insecure", is_flag=True, help="Take a cluster on other machines without TLS."),
)


def cluster_options(command: Command) -> Command:
    """Passes the command ``engine``, a function that makes an `exporter.evaluation.engine.Engine` of ``debug``."""

    @functools.wraps(command)
    def with_engine(
        *args: Any,
        workers: int | None,
        cluster: str | None,
        tls_ca_file: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        insecure: bool,
        **values: Any,
    ) -> Any:
        if workers and cluster:
            raise click.UsageError("name --workers or --cluster, not both")
        files = [path for path in (tls_ca_file, tls_cert, tls_key) if path]
        if len(files) not in (0, 3):
            raise click.UsageError("--tls-ca-file, --tls-cert and --tls-key belong together")
        if (files or insecure) and not cluster:
            raise click.UsageError("--tls-ca-file, --tls-cert, --tls-key and --insecure are for --cluster")

        def engine(debug: bool) -> Any:
            from exporter.evaluation.engine import OneProcess

            if not (workers or cluster):
                return OneProcess(debug)
            from exporter.evaluation.cluster import Cluster
            from exporter.evaluation.cluster_connection import ClusterOptions, Tls, require_installed

            require_installed()
            return Cluster(ClusterOptions(workers, cluster, Tls(*files) if files else None, insecure), warn, debug)

        # Workers of a cluster have another working folder; copies of what lies in stores are absolute paths anyway.
        if workers or cluster:
            paths = {name: values.get(name) for name in ("images", "output")}
            values |= {name: path.absolute() for name, path in paths.items() if isinstance(path, Path)}
        return command(*args, engine=engine, **values)

    for option in reversed(_OPTIONS):
        with_engine = option(with_engine)
    return with_engine  # type: ignore[return-value]
