"""The worker jobs that run artifacts on images."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from exporter.errors import ImageError
from exporter.evaluation.chunks import (
    ReadImage,
    embed_chunk,
    evaluate_chunk,
    probabilities,
    read_image,
    read_or_told,
)
from exporter.evaluation.jobs import (
    Chunk,
    ChunksRequest,
    ChunksResult,
    ClassifiedChunk,
    EmbeddedChunk,
    Image,
    PredictedImage,
    PredictRequest,
    PredictResult,
)
from exporter.evaluation.loaded_model import Floats, LoadedModel
from exporter.processes.messages import from_plain
from exporter.progress import Say

#: The number of images that are decoded at the same time, while a batch is classified.
_THREADS = min(4, os.cpu_count() or 1)
#: The batch size of `predict`.
_BATCH = 16


def predict(request: PredictRequest, say: Say) -> PredictResult:
    """The job `exporter.evaluation.jobs.PREDICT`: the likeliest classes of images.

    Raises:
        ArtifactError: the artifact does not load, or does not classify.
    """
    model = LoadedModel(request.model, say)
    say(f"classifying {len(request.images)} images" if len(request.images) > 1 else "classifying the image")
    batches = (Chunk(start, request.images[start : start + _BATCH]) for start in range(0, len(request.images), _BATCH))
    found: list[PredictedImage] = []
    for _, read in _ahead(batches, {0: model}, _predictable):
        images = [one.ready[0] for one in read if not isinstance(one, str)]
        rows: Iterator[Floats] = iter(probabilities(model.logits(images)) if images else ())
        for one in read:
            if isinstance(one, str):
                found.append(PredictedImage((), one))
            else:
                row = next(rows)
                best = np.argsort(-row, kind="stable")[: request.top]
                found.append(PredictedImage(tuple((int(index), float(row[index])) for index in best)))
    return PredictResult(model.size, model.device, tuple(found))


def _predictable(image: Image, models: dict[int, LoadedModel]) -> ReadImage | str:
    """An image, or what is to be said of it: one that is missing costs a line like any other."""
    try:
        return read_image(image, models)
    except ImageError as error:
        return str(error)


def evaluate(request: ChunksRequest, say: Say, send: Callable[[ClassifiedChunk], None]) -> ChunksResult:
    """The job `exporter.evaluation.jobs.EVALUATE`: compares the classes of images with their labels.

    Raises:
        ImageError: an image cannot be read.
        EvaluationError: an image is missing, or a record has no label, or a wrong one.
        ArtifactError: an artifact does not load, or does not classify.
    """
    models = [LoadedModel(model, say) for model in request.models]
    say("classifying the first images")
    for chunk, read in _chunks(request, models):
        for place in chunk.models:
            send(evaluate_chunk(chunk, place, models[place], read))
    return ChunksResult(tuple(model.size for model in models))


def embed(request: ChunksRequest, say: Say, send: Callable[[EmbeddedChunk], None]) -> ChunksResult:
    """The job `exporter.evaluation.jobs.EMBED`: writes the feature vectors of images.

    Raises:
        ImageError: an image cannot be read.
        EvaluationError: an image is missing.
        ArtifactError: the artifact does not load, or gives no feature vectors; or a file cannot be written.
    """
    assert request.parts
    models = [LoadedModel(model, say) for model in request.models]
    say("computing the first feature vectors")
    for chunk, read in _chunks(request, models):
        for place in chunk.models:
            send(embed_chunk(chunk, place, models[place], read, request.parts))
    return ChunksResult(tuple(model.size for model in models))


def _chunks(request: ChunksRequest, models: list[LoadedModel]) -> Iterator[tuple[Chunk, list[ReadImage | str]]]:
    def read(image: Image, models: dict[int, LoadedModel]) -> ReadImage | str:
        return read_or_told(image, models, skip_broken=request.skip_broken)

    yield from _ahead(_listed(request.chunks), dict(enumerate(models)), read)


def _listed(path: Path) -> Iterator[Chunk]:
    with open(path, encoding="ascii") as lines:
        for line in lines:
            yield from_plain(json.loads(line), Chunk)


def _ahead(
    chunks: Iterable[Chunk],
    models: dict[int, LoadedModel],
    read: Callable[[Image, dict[int, LoadedModel]], ReadImage | str],
) -> Iterator[tuple[Chunk, list[ReadImage | str]]]:
    """Reads the next chunk while the current one is used, so that two are in memory."""
    with ThreadPoolExecutor(_THREADS) as pool:

        def begun(chunk: Chunk) -> list[Future[ReadImage | str]]:
            wanted = {place: models[place] for place in chunk.models}
            return [pool.submit(read, image, wanted) for image in chunk.images]

        waiting: tuple[Chunk, list[Future[ReadImage | str]]] | None = None
        for chunk in chunks:
            now, waiting = waiting, (chunk, begun(chunk))
            if now:
                yield now[0], [future.result() for future in now[1]]
        if waiting:
            yield waiting[0], [future.result() for future in waiting[1]]
