# syntax=docker/dockerfile:1
# One image for every subcommand: `docker run subak server`, `docker run subak worker`, …

FROM rust:1.95-bookworm AS build
# For librdkafka, which is built from its source.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libssl-dev pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The cache mounts keep crates and dependencies between builds; the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --workspace --locked \
    && install -D /target/debug/subak /out/subak

FROM debian:bookworm-slim
# bash and python3 are for the operators of these names.
RUN apt-get update \
    && apt-get install -y --no-install-recommends bash ca-certificates libssl3 python3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /var/lib/subak --shell /usr/sbin/nologin subak \
    && install -d -o subak /var/lib/subak/worker /storage
COPY --from=build /out/subak /usr/local/bin/subak
COPY dags /etc/subak/dags
USER subak
WORKDIR /var/lib/subak
# `server` serves pages, API and the gateway of workers.
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["subak"]
CMD ["--help"]
