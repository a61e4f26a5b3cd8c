"""Writes which operations of TensorFlow only compute, and what the others can do, as ``exporter/data/operations.json``.

    python scripts/record_operation_kinds.py > exporter/data/operations.json

TensorFlow declares its operations in groups, each of which has a generated Python module (``gen_math_ops.py``): those
of an installed one are read, without importing it. A group is listed here as a whole, as one that computes or as one
that can do something else; single operations that differ from their group are named. What is in no group that is
listed, and not named, is not in the file: `exporter.graph.operations` treats it as unknown.

Reviewed by hand against the operations of TensorFlow 2.21 and 1.15.5: each name in the groups that compute was looked
at for what it does beside computing, attributes with file names included.
"""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

#: Groups whose operations give outputs for their inputs, hold state in the process, or direct the flow of both.
COMPUTES = (
    *("array", "audio", "bitwise", "candidate_sampling", "clustering", "composite_tensor", "control_flow", "count"),
    *("ctc", "cudnn_rnn", "functional", "image", "linalg", "list", "lookup", "manip", "map", "math", "nn", "optional"),
    *("parsing", "ragged_array", "ragged_conversion", "ragged_math", "random", "random_index_shuffle"),
    *("resource_variable", "rnn", "set", "sparse", "sparse_csr_matrix", "special_math", "spectral", "state"),
    *("stateful_random", "stateless_random", "stateless_random_ops_v2", "string", "training", "uniform_quant"),
)
#: Single operations of other groups that do the same, and those without a group.
ALSO_COMPUTE = (
    # Of data_flow, where queues and the like are not.
    *("DynamicPartition", "DynamicStitch", "ParallelDynamicStitch"),
    *("Stack", "StackV2", "StackClose", "StackCloseV2", "StackPop", "StackPopV2", "StackPush", "StackPushV2"),
    # Of logging: to the process's own log, or as a tensor. Where `PrintV2` writes is looked at in each node.
    *("Assert", "Print", "PrintV2", "Timestamp"),
    *("AudioSummary", "AudioSummaryV2", "HistogramSummary", "ImageSummary", "MergeSummary", "ScalarSummary"),
    *("TensorSummary", "TensorSummaryV2"),
    # Of io: they put a name together.
    *("ShardedFilename", "ShardedFilespec"),
    # Of no group today: of TensorFlow 1.15, and what its optimizer leaves in a graph.
    *("CompareAndBitpack", "_FusedBatchNormEx", "_FusedConv2D", "_FusedMatMul", "_UnaryOpsComposition"),
)
#: By what they can do, groups and single operations.
FILES = (
    *("io", "checkpoint", "filesystem", "summary", "decode_proto", "encode_proto", "debug"),
    *("ImmutableConst", "FixedUnigramCandidateSampler", "RecordInput", "Skipgram"),
    *("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"),
)
DATA_SETS = ("dataset", "experimental_dataset")
NETWORK = (
    *("sendrecv", "collective", "nccl", "rpc", "dtensor", "tpu", "tpu_partition"),
    *("RemoteCall", "RemoteFusedGraphExecute", "Rpc", "TryRpc"),
    *("BigQueryReader", "GenerateBigQueryReaderPartitions", "GcsConfigureBlockCache", "GcsConfigureCredentials"),
    *("_Send", "_Recv", "_HostSend", "_HostRecv", "_XlaSendFromHost", "_XlaRecvAtHost"),
)
PYTHON = ("script",)
PROGRAMS = ("XlaCallModule", "XlaCustomCall", "XlaCustomCallV2", "TRTEngineOp", "MlirPassthroughOp", "_XlaRun")
PROCESS = ("Abort",)

_NAME = re.compile(r'_apply_op_helper\(\s*"(\w+)"')
_GROUP = re.compile(r"gen_(.+?)(?:_ops?)?")


def groups() -> dict[str, set[str]]:
    """The names of the operations of each group of the installed TensorFlow."""
    package = importlib.util.find_spec("tensorflow")
    assert package and package.origin, "TensorFlow is installed"
    found: dict[str, set[str]] = {}
    for path in Path(package.origin).parent.rglob("gen_*.py"):
        match = _GROUP.fullmatch(path.stem)
        assert match
        found.setdefault(match[1], set()).update(_NAME.findall(path.read_text(encoding="utf-8")))
    return found


def kinds() -> dict[str, list[str]]:
    """The names of operations, in order, by what they can do."""
    known = groups()
    single = {*ALSO_COMPUTE, *FILES, *NETWORK, *PYTHON, *PROGRAMS, *PROCESS} - known.keys()
    # A group that is gone would pass for the name of an operation; those begin with a capital letter.
    gone = [name for name in (*COMPUTES, *DATA_SETS, *single) if name not in known and not name.strip("_")[0].isupper()]
    assert not gone, f"TensorFlow has no groups {gone}"
    lists = {
        "computes": (*COMPUTES, *ALSO_COMPUTE),
        "files": FILES,
        "data sets": DATA_SETS,
        "network": NETWORK,
        "Python": PYTHON,
        "programs": PROGRAMS,
        "process": PROCESS,
    }
    return {kind: sorted(set(_names(listed, known, single))) for kind, listed in lists.items()}


def _names(listed: tuple[str, ...], known: dict[str, set[str]], single: set[str]) -> Iterator[str]:
    for name in listed:
        yield from known[name] - single if name in known else [name]


def main() -> None:
    """Prints the file."""
    text = ",\n".join(f"  {json.dumps(kind)}: {json.dumps(names)}" for kind, names in kinds().items())
    sys.stdout.write(f'{{"tensorflow": {json.dumps(version("tensorflow"))},\n "operations": {{\n{text}\n }}}}\n')


if __name__ == "__main__":
    main()
