"""Clusters: the same bytes as one process gives, whatever process does what, and whichever of them are killed."""

import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from exporter.errors import ClusterError, MachineError
from exporter.evaluation import cluster as cluster_engine
from exporter.evaluation.cluster_connection import ClusterOptions
from exporter.evaluation.engine import Work
from exporter.evaluation.jobs import EMBED, ModelToLoad
from exporter.models.classes import class_names
from exporter.processes import memory
from exporter.processes.device import using
from tests.support import clusters, data_sets, pictures
from tests.support.clusters import Cluster
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded
from tests.support.order import one_in_make_test

PICTURES, BATCH = 26, 3
#: Broken pictures of `data_set_of`: a chunk in which all are, one among whole ones, and the last.
BROKEN = (6, 7, 8, 13, 25)
#: How often processes are killed.
KILLS = int(os.environ.get("NASEXPORT_TEST_KILLS", "1"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster") / "set"
    return pictures.with_a_broken_one(folder, [f"n01440764/{seed:02}.png" for seed in range(PICTURES)])


@pytest.fixture(scope="module")
def expected(cli: Command, artifact: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes that one process writes."""
    output = tmp_path_factory.mktemp("one") / "one.parquet"
    succeeded(cli("embed", artifact, *_options(images), "--output", output))
    return output.read_bytes()


def _options(images: Path) -> list[object]:
    return ["--images", images, "--batch-size", BATCH, "--skip-broken"]


@pytest.fixture(scope="module")
def cluster(cli: Command, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with clusters.cluster(cli, tmp_path_factory.mktemp("dask")) as made:
        yield made


def test_a_cluster_gives_the_bytes_of_one_process(
    own_cli: Command, artifact: Path, images: Path, expected: bytes, cluster: Cluster
) -> None:
    result = succeeded(own_cli("embed", artifact, *_options(images), "--output", "features.parquet", *cluster.options))
    assert "connecting to the cluster" in result.stderr
    assert (own_cli.cwd / "features.parquet").read_bytes() == expected
    assert files_below(own_cli.cwd) == ["features.parquet", "features.parquet.json"]

    # An output in a store goes through the cache, which workers write to.
    store = own_cli.folder / "store"
    address = f"file://{store}/features.parquet"
    succeeded(own_cli("embed", artifact, *_options(images), "--output", address, *cluster.options))
    assert (store / "features.parquet").read_bytes() == expected
    assert files_below(store) == files_below(own_cli.cwd) and files_below(own_cli.cache / "outputs") == []


@pytest.mark.parametrize("name", ["t", "long" * 30])
def test_a_cluster_of_this_machine_starts_and_says_nothing_else(
    own_cli: Command, artifact: Path, images: Path, expected: bytes, name: str
) -> None:
    """Whatever room the path of the folder for temporary files leaves for the name of a socket."""
    command = ("embed", artifact, *_options(images), "--output", "features.parquet", "--workers", 1)
    with tempfile.TemporaryDirectory() as short:
        folder = Path(short) / name
        folder.mkdir()
        result = succeeded(own_cli.with_variables(TMPDIR=str(folder))(*command))
    assert (
        "starting the workers" in result.stderr and "Traceback" not in result.stderr and "WARNING" not in result.stderr
    )
    assert (own_cli.cwd / "features.parquet").read_bytes() == expected


@pytest.fixture(scope="module")
def data_set_of(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The same pictures, the broken ones among them, in each kind of data set."""
    folder = tmp_path_factory.mktemp("kinds")
    samples: list[data_sets.Sample] = []
    for seed in range(PICTURES):
        content = pictures.encoded(pictures.picture(seed), "PNG")
        samples.append((f"{seed:02}.png", content[:-60] if seed in BROKEN else content, seed + 1))
    for name, content, label in samples:
        path = folder / "folders" / class_names()[label or 0].wnid / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    shards = (samples[:10], samples[10:11], samples[11:])
    return {
        "folders": folder / "folders",
        "records": data_sets.records(folder / "records", shards, "validation"),
        "tars": data_sets.tars(folder / "tars", shards),
    }


@pytest.mark.long
@pytest.mark.parametrize("kind", ["folders", "records", "tars"])
def test_the_same_bits_whatever_computes_and_whatever_the_images_lie_in(
    own_cli: Command, imagenet_onnx: Path, artifact: Path, data_set_of: Mapping[str, Path], cluster: Cluster, kind: str
) -> None:
    classifier = artifact_folder(imagenet_onnx, "tiny_imagenet", "classification", "onnx")
    options = _options(data_set_of[kind])
    engines: dict[str, list[object]] = {"one": [], "local": ["--workers", 2], "cluster": [*cluster.options]}
    embedded, evaluated = [], []
    for way, engine in engines.items():
        output, state = (own_cli.cwd / f"{way}{suffix}" for suffix in (".parquet", ".state"))
        said = json.loads(succeeded(own_cli("embed", artifact, *options, "--output", output, *engine, "--json")).stdout)
        assert said["rows"] == PICTURES - len(BROKEN) and len(said["broken"]) == len(BROKEN)
        embedded.append((output.read_bytes(), output.with_name(f"{output.name}.json").read_text()))
        if way == "local":  # it takes seconds to start
            continue
        command = ("evaluate", classifier, *options, "--state", state, *engine, "--json")
        found = json.loads(succeeded(own_cli(*command)).stdout)
        assert found["images"] == PICTURES - len(BROKEN) and len(found["broken"]) == len(BROKEN)
        evaluated.append((sorted(state.read_text().splitlines()), {**found, "state": None}))
    assert len(set(embedded)) == 1
    assert evaluated[0] == evaluated[1]


@pytest.mark.long
def test_a_worker_that_cannot_do_the_work_gets_none(
    own_cli: Command, artifact: Path, images: Path, expected: bytes, tmp_path: Path
) -> None:
    """One has another artifact, one a disk that takes nothing more; the third does it all."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "from exporter.artifact import folder\nfolder.content = lambda _: '0' * 64\n"
    )
    variables = {"PYTHONPATH": f"{site}:{own_cli.env['PYTHONPATH']}"}

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    with clusters.cluster(own_cli, tmp_path / "dask", workers=0) as made:
        made.start_worker(variables)
        made.wait(1)
        command = ("embed", artifact, *_options(images), "--output", "features.parquet", *made.options)
        message = refusal(own_cli(*command), 3)
        assert "no worker is left that can do the work" in message and "is another artifact there" in message
        made.start_worker(before=full)
        made.start_worker()
        made.wait(3)
        result = succeeded(own_cli(*command))
    assert "is another artifact there" in result.stderr and "was told to leave" in result.stderr
    assert "reading or writing failed: [Errno 27] File too large" in result.stderr
    assert (own_cli.cwd / "features.parquet").read_bytes() == expected


def test_what_is_open_to_others_is_refused(own_cli: Command, artifact: Path, images: Path, tmp_path: Path) -> None:
    def said(*options: object, status: int = 3) -> str:
        result = own_cli("embed", artifact, *_options(images), "--output", "features.parquet", *options)
        assert result.returncode == status
        return result.stderr

    assert "open to all who reach it: expected tls://" in said("--cluster", "tcp://192.0.2.1:8786")
    assert "needs certificates: --tls-ca-file" in said("--cluster", "tls://192.0.2.1:8786")
    assert "is no address (tls://host:8786) and no scheduler file" in said("--cluster", "absent.json")
    (own_cli.cwd / "scheduler.json").write_text("{}")
    assert "is no scheduler file: expected JSON with an address" in said("--cluster", "scheduler.json")
    (own_cli.cwd / "scheduler.json").write_text('{"address": "tcp://192.0.2.1:8786"}')
    assert "192.0.2.1" in said("--cluster", "scheduler.json")
    assert "not both" in said("--workers", 2, "--cluster", "tcp://127.0.0.1:1", status=2)
    assert "belong together" in said("--cluster", "tls://127.0.0.1:1", "--tls-cert", "a", status=2)
    assert "are for --cluster" in said("--workers", 2, "--insecure", status=2)
    assert "cores that this machine has" in said("--workers", 1024)
    hidden = own_cli.with_program_first("import sys\nsys.modules['distributed'] = None\n", tmp_path)
    result = hidden("embed", artifact, *_options(images), "--output", "features.parquet", "--workers", 1)
    assert "pip install 'nasexport[cluster]'" in refusal(result, 3)


def test_workers_need_memory_and_compute_on_the_processor(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are said before anything is started."""
    engine = cluster_engine.Cluster(ClusterOptions(workers=1), warn=print)
    work = Work((ModelToLoad(artifact, 64, None),), skip_broken=False)

    def compute() -> None:
        engine.compute(EMBED, work, [], print, print)

    monkeypatch.setattr(memory, "free_memory", lambda: 3e8)
    with pytest.raises(MachineError, match=r"1 workers take 0.3 GB and more, and 0.3 GB are free: choose fewer"):
        compute()
    with using("gpu"), pytest.raises(ClusterError, match="leave out --device gpu"):
        compute()


@pytest.mark.stops
def test_another_authoritys_certificate_does_not_get_in(
    own_cli: Command, artifact: Path, images: Path, cluster: Cluster, tmp_path: Path
) -> None:
    other = trustme.CA()
    certificate = other.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    options = [*cluster.options[:4], "--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem"]
    command = ("embed", artifact, *_options(images), "--output", "features.parquet", *options)
    assert "cannot connect to the scheduler tls://127.0.0.1" in refusal(own_cli(*command), 3)


@pytest.mark.stops
@pytest.mark.parametrize("seed", range(KILLS))
@pytest.mark.parametrize("victim", one_in_make_test(["worker", "driver", "scheduler"]))
def test_whoever_is_killed_the_bytes_are_the_same(
    own_cli: Command, artifact: Path, images: Path, expected: bytes, tmp_path: Path, victim: str, seed: int
) -> None:
    generator = random.Random(f"{victim}{seed}")
    command = ("embed", artifact, *_options(images), "--output", "features.parquet")
    with clusters.cluster(own_cli, tmp_path / "dask") as made:
        process = own_cli.start(*command, *made.options)
        ledger = own_cli.cwd / "features.parquet.parts" / "ledger.jsonl"
        wanted = generator.randrange(1, PICTURES // BATCH)
        while process.poll() is None and not (ledger.exists() and ledger.read_bytes().count(b"\n") > wanted):
            time.sleep(0.002)
        time.sleep(generator.random() / 20)
        if victim == "driver":
            process.kill()
        else:
            assert made.scheduler
            made.kill(made.scheduler if victim == "scheduler" else generator.choice(made.workers))
        _, errors = process.communicate(timeout=120)
        if victim == "scheduler" and process.returncode:
            assert "connection to the scheduler was lost" in errors
            made.start_scheduler()
            made.start_worker()
        elif victim == "worker":
            assert process.returncode == 0, errors
        result = succeeded(own_cli(*command, *made.options))
    assert "continuing after" in result.stderr or "already finished" in result.stderr or victim == "driver"
    assert (own_cli.cwd / "features.parquet").read_bytes() == expected


@pytest.mark.long
@pytest.mark.stops
def test_a_picture_that_kills_is_found(own_cli: Command, artifact: Path, tmp_path: Path) -> None:
    for seed in range(6):
        name = "kills.png" if seed == 3 else f"{seed}.png"
        pictures.written(tmp_path / "set" / name, pictures.picture(seed))
    program = (
        "import os\n"
        "from exporter.evaluation import image_files\n"
        "read = image_files.content_of\n"
        "image_files.content_of = lambda path: os.kill(os.getpid(), 9) if path.name == 'kills.png' else read(path)\n"
    )
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(program)
    variables = {"PYTHONPATH": f"{site}:{own_cli.env['PYTHONPATH']}"}
    command: list[Any] = ["embed", artifact, "--images", tmp_path / "set", "--batch-size", 2]
    command += ["--output", "features.parquet"]
    # Of the workers that read some images, so many may end before that is put down to the images; by default three.
    impatient = own_cli.with_variables(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1")
    with clusters.cluster(impatient, tmp_path / "dask", workers=0) as made:
        made.start_worker(variables, nanny=True)
        message = refusal(own_cli(*command, *made.options))
        assert "every worker that read these images was ended" in message and "kills.png" in message
        result = succeeded(own_cli(*command, "--skip-broken", "--json", *made.options))
    found = json.loads(result.stdout)
    assert found["rows"] == 5 and [lost["path"] for lost in found["broken"]] == ["kills.png"]
    assert "left out, since every worker that read it was ended" in result.stderr
