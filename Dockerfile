# The axis as an image: the wheel and its locked dependencies, nothing to build with, nobody's root.
# Pinned by exact tag. Digests belong beside the tags and are missing: there was no registry to read them from where
# this was written. `docker buildx imagetools inspect python:3.11.13-slim-bookworm` prints it.
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /build
COPY requirements/run.txt requirements/bootstrap.txt requirements/
RUN python -m venv /opt/axis \
 && /opt/axis/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: -r requirements/run.txt
COPY pyproject.toml README.md ./
COPY axis axis
COPY adapters adapters
COPY signing signing
COPY schemas_xsd schemas_xsd
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir -r requirements/bootstrap.txt \
 && /opt/build/bin/uv build --wheel --out-dir dist . \
 && /opt/axis/bin/pip install --no-cache-dir --no-deps dist/*.whl

FROM python:3.11.13-slim-bookworm
RUN groupadd --gid 10001 axis \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/axis --shell /usr/sbin/nologin axis \
 && install --directory --owner axis --group axis --mode 700 /var/lib/axis
COPY --from=build /opt/axis /opt/axis
ENV PATH=/opt/axis/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AXIS_HOME=/var/lib/axis
USER 10001:10001
WORKDIR /var/lib/axis
VOLUME /var/lib/axis
STOPSIGNAL SIGTERM
CMD ["axis", "--help"]
