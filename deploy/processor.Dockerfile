# syntax=docker/dockerfile:1
# The clew processor. Build from the root of the repository:
#   docker build --file deploy/processor.Dockerfile --tag clew-processor:0.1.0 .

FROM rust:1.95.0-slim-bookworm AS rust

FROM python:3.11.14-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:$PATH \
    MATURIN_PEP517_ARGS=--locked
RUN pip install --no-cache-dir uv==0.13.9 && uv venv --python /usr/local/bin/python3.11 /opt/clew
WORKDIR /src
COPY requirements.lock .
COPY processor/kernel processor/kernel
# Apart from the rest, so that a change in Python does not compile Rust again.
RUN uv build --wheel --out-dir /wheels --build-constraint requirements.lock processor/kernel
COPY sdk sdk
COPY processor processor
RUN uv build --wheel --out-dir /wheels --build-constraint requirements.lock processor \
    && uv build --wheel --out-dir /wheels --build-constraint requirements.lock sdk
# Only what the processor and the `clew` command need, at the versions the tests ran with.
RUN uv pip install --python /opt/clew --no-cache --compile-bytecode --constraint requirements.lock /wheels/*.whl

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/clew --shell /usr/sbin/nologin clew \
    && install --directory --owner clew --group clew /var/lib/clew
COPY --from=build /opt/clew /opt/clew
ENV PATH=/opt/clew/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CLEW_GRPC=0.0.0.0:4317 \
    CLEW_HTTP=0.0.0.0:4318 \
    CLEW_QUERY=0.0.0.0:8123 \
    CLEW_DATA=/var/lib/clew
USER clew
WORKDIR /var/lib/clew
VOLUME /var/lib/clew
EXPOSE 4317 4318 8123
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=6 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:4318/readyz', timeout=2)"]
CMD ["clew", "up"]
