# The development half on a workstation with an NVIDIA GPU: load, compress, export, build.
# Not built yet: no registry was at hand (docs/images.md). Needs NVIDIA's container toolkit on the host for the GPU.
ARG BASE=nvidia/cuda:13.0.2-base-ubuntu24.04

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
COPY constraints.txt /build/
COPY wheels/ /build/wheels/
# PyTorch's wheel of the index brings the CUDA libraries that it was built with.
RUN python3 -m venv /opt/edgekit \
 && own="$(echo /build/wheels/edgekit-*.whl)" \
 && /opt/edgekit/bin/pip install --no-cache-dir --find-links /build/wheels -c /build/constraints.txt \
      "${own}[compress,history,nvidia,prune,qat,report,tensorboard,trt]" \
 && /opt/edgekit/bin/pip uninstall -y pip

FROM ${BASE} AS runtime
ARG BASE
ARG VERSION=unknown
LABEL org.opencontainers.image.title="edgekit compress" \
      org.opencontainers.image.description="Compresses PyTorch perception models and builds edgekit bundles" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}"
# A project with users' own code may want to compile: g++ is torch's compiler. ssh: builds on a board.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ openssh-client python3 python3-dev \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin edgekit
COPY --from=build /opt/edgekit /opt/edgekit
ENV PATH=/opt/edgekit/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /work
# There is no bundle yet: the doctor runs a small model on every runtime that is here.
HEALTHCHECK --interval=5m --timeout=120s --start-period=60s --retries=2 \
    CMD ["edgekit", "doctor"]
ENTRYPOINT ["edgekit"]
CMD ["doctor"]
