# One image, two uses: `tidegate run` (the operator) and `tidegate agent` (process 1 beside NGINX).
# `make image` prepares what is copied here, and chooses a base where no registry can be reached.
# No BuildKit is needed; with it, several architectures can be built at once.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
ARG TARGETARCH
LABEL dev.tidegate.stage=build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
COPY scripts/trixie-rootfs.sh scripts/image-system.sh scripts/keep-running.sh /build/
RUN bash /build/image-system.sh
COPY .cache/image/python-${TARGETARCH}/ /opt/tidegate/lib/python3.13/site-packages/
RUN bash /build/image-system.sh finish && rm -rf /build

# In one layer: what was removed above takes no room.
FROM scratch
LABEL dev.tidegate.stage=image
COPY --from=build / /
ENV PATH=/opt/tidegate/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8
USER 102:82
ENTRYPOINT ["/opt/tidegate/bin/tidegate"]
CMD ["--help"]
