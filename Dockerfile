# syntax=docker/dockerfile:1
# tripoint with its GPU side and its learning, for a machine with an NVIDIA driver of at least 580.
#
#   docker build -t tripoint .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD":/data -v tripoint-cache:/cache \
#       tripoint analyze input=cathode.tif spacing=[0.4,0.4,0.4] materials=lithium_ion_cathode
#
# compose.yaml does the same for a workstation with one GPU.

FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04 AS build

# Versions are those of the image's release of Ubuntu.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/tripoint
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY conf ./conf
COPY kernels ./kernels
COPY src ./src
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/tripoint/bin/python -m pip install ".[cuda,learn]"

FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04

# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/tripoint /opt/tripoint
# What is compiled at first use is kept in /cache, which any user may write to: mount a volume there.
RUN useradd --create-home --uid 10001 tripoint \
 && mkdir --mode=1777 /cache /data
ENV PATH=/opt/tripoint/bin:$PATH \
    CUPY_CACHE_DIR=/cache/cupy \
    NUMBA_CACHE_DIR=/cache/numba
USER 10001
WORKDIR /data
HEALTHCHECK --interval=60s --timeout=20s CMD ["tripoint", "--version"]
ENTRYPOINT ["tripoint"]
CMD ["--help"]
