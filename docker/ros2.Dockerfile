# The ROS 2 node with ROS 2 Kilted as wheels (x86-64), vision_msgs compiled in, record and replay, and its page of numbers.
# `edgekit image build ros2` makes the context and builds it (docs/images.md).
ARG BASE=debian:bookworm-20250520-slim

FROM ${BASE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# pip reads these from its environment: a mirror of your own, or nothing but wheels/.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
# Versions of packages of the base are those of the base: pin it by tag or digest.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates cmake g++ make python3 python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY ros-constraints.txt ros2-requirements.txt ros2-generators.txt /build/
COPY wheels/ /build/wheels/
# Bytecode is compiled here: the container's file system is read-only. The packages' own tests are a tenth of all bytes.
RUN python3 -m venv /opt/edgekit \
 && own="$(echo /build/wheels/edgekit-*.whl)" \
 && /opt/edgekit/bin/pip install --no-cache-dir --find-links /build/wheels -c /build/ros-constraints.txt \
      -r /build/ros2-requirements.txt -r /build/ros2-generators.txt "${own}[bags,metrics]" \
 && /opt/edgekit/bin/python -c 'import prometheus_client, rosbags' \
 && /opt/edgekit/bin/edgekit ros2 interfaces \
 && /opt/edgekit/bin/pip uninstall -y -r /build/ros2-generators.txt \
 && /opt/edgekit/bin/pip uninstall -y pip \
 && find /opt/edgekit/lib/python3*/site-packages/numpy /opt/edgekit/lib/python3*/site-packages/scipy -type d -name tests -prune -exec rm -r {} +

FROM ${BASE} AS runtime
ARG BASE
ARG VERSION=unknown
LABEL org.opencontainers.image.title="edgekit ros2" \
      org.opencontainers.image.description="An edgekit bundle as a managed ROS 2 node" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}"
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin edgekit
COPY --from=build /opt/edgekit /opt/edgekit
COPY fastdds.xml /opt/edgekit/share/fastdds.xml
# Owned by root: who runs can read the bundle and cannot change it.
COPY bundle/ /bundle/
ENV PATH=/opt/edgekit/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    AMENT_PREFIX_PATH=/opt/edgekit ROS_LOG_DIR=/tmp/ros FASTDDS_DEFAULT_PROFILES_FILE=/opt/edgekit/share/fastdds.xml
USER 10001:10001
WORKDIR /tmp
# The bundle's golden frames through the whole chain: the cheapest thing that shows that this image computes here.
HEALTHCHECK --interval=5m --timeout=60s --start-period=30s --retries=2 \
    CMD ["python3", "-m", "edgekit.images.smoke", "/bundle"]
ENTRYPOINT ["python3", "-m", "edgekit.ros2_node", "--ros-args", "-p", "bundle:=/bundle", "-p", "autostart:=true"]
CMD []
