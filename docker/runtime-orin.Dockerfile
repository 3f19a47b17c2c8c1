# Opens, proves, measures and runs bundles on a Jetson Orin (JetPack 6: CUDA 12.6, TensorRT 10.3, CPython 3.10).
# Not built yet: no aarch64 machine and no registry was at hand (docs/images.md). Needs NVIDIA's container runtime on the board.
ARG BASE=nvcr.io/nvidia/l4t-jetpack:r36.4.0

FROM ${BASE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# pip reads these from its environment: a mirror of your own, or nothing but wheels/.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
# Versions of packages of the base are those of the base: pin it by tag or digest.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY constraints.txt orin-constraints.txt /build/
COPY wheels/ /build/wheels/
# TensorRT's Python package is the system's. CUDA 12 takes its own bindings: their pins replace those for CUDA 13.
RUN python3 -m venv --system-site-packages /opt/edgekit \
 && grep -v '^cuda-' /build/constraints.txt > /build/pins.txt \
 && cat /build/orin-constraints.txt >> /build/pins.txt \
 && own="$(echo /build/wheels/edgekit-*.whl)" \
 && /opt/edgekit/bin/pip install --no-cache-dir --find-links /build/wheels -c /build/pins.txt "${own}[trt]" \
 && /opt/edgekit/bin/pip uninstall -y pip

FROM ${BASE} AS runtime
ARG BASE
ARG VERSION=unknown
LABEL org.opencontainers.image.title="edgekit runtime-orin" \
      org.opencontainers.image.description="Opens, proves, measures and runs edgekit bundles on a Jetson Orin" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}"
# The GPU's device files belong to the group video.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-libnvinfer \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --groups video --no-create-home --home-dir /tmp --shell /usr/sbin/nologin edgekit
COPY --from=build /opt/edgekit /opt/edgekit
# Owned by root: who runs can read the bundle and cannot change it.
COPY bundle/ /bundle/
ENV PATH=/opt/edgekit/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
# The bundle's golden frames through the whole chain: the cheapest thing that shows that this image computes here.
HEALTHCHECK --interval=5m --timeout=60s --start-period=60s --retries=2 \
    CMD ["python3", "-m", "edgekit.images.smoke", "/bundle"]
ENTRYPOINT ["edgekit"]
CMD ["verify", "/bundle"]
