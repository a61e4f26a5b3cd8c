# The command line in an image of its own; docs/how-to/docker.md has how to run it.
FROM python:3.12-slim AS build
WORKDIR /build
COPY pyproject.toml requirements.lock README.md LICENSE checkpoints.lock ./
COPY .ci/install .ci/install
COPY configs configs
COPY exporter exporter
COPY nasexport nasexport
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# TensorFlow's headers are for those who compile against it; pip and hatchling have done what they are for.
RUN python -m venv /opt/nasexport \
  && .ci/install /opt/nasexport/bin/python \
  && rm -rf /opt/nasexport/lib/python3.12/site-packages/tensorflow/include \
  && /opt/nasexport/bin/python -m pip uninstall --yes --quiet hatchling pip

# A worker or a scheduler of a Dask cluster; docs/how-to/scale.md has how to run it: docker build --target worker.
FROM python:3.12-slim AS worker-build
COPY --from=build /opt/nasexport /opt/nasexport
COPY pyproject.toml requirements.lock README.md LICENSE checkpoints.lock /build/
COPY configs /build/configs
COPY exporter /build/exporter
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv --upgrade-deps /opt/pip \
  && /opt/pip/bin/pip --python /opt/nasexport/bin/python install --constraint /build/requirements.lock '/build[cluster,images,parquet]' \
  && /opt/nasexport/bin/python -m compileall -q /opt/nasexport/lib

FROM python:3.12-slim AS worker
LABEL org.opencontainers.image.title="nasexport-worker" \
  org.opencontainers.image.description="A Dask worker that runs nasexport's artifacts over data sets" \
  org.opencontainers.image.licenses="Apache-2.0"
COPY --from=worker-build /opt/nasexport /opt/nasexport
RUN useradd --uid 1000 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin nasexport
ENV PATH=/opt/nasexport/bin:$PATH
WORKDIR /tmp
USER 1000
ENTRYPOINT []
CMD ["dask", "worker", "--help"]

FROM python:3.12-slim
LABEL org.opencontainers.image.title="nasexport" \
  org.opencontainers.image.description="Turns Google's NASNet-A and PNASNet-5 checkpoints into verified TensorFlow artifacts" \
  org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/nasexport /opt/nasexport
# /cache keeps archives; /work is where the user's files are. Any user may be chosen with --user.
RUN useradd --uid 1000 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin nasexport \
  && install --directory --mode 1777 /cache /work
ENV PATH=/opt/nasexport/bin:$PATH \
  PYTHONDONTWRITEBYTECODE=1 \
  NASEXPORT_CACHE_DIR=/cache
VOLUME /cache
WORKDIR /work
USER 1000
ENTRYPOINT ["nasexport"]
CMD ["--help"]
