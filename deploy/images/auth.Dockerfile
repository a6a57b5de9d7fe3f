# auth: the HTTP service. Built from the root of the repository:
#   docker build -f deploy/images/auth.Dockerfile -t trickle-auth .
# BASE_IMAGE brings Python 3.11 or later, its venv module and CA certificates; any such image will do.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
# The installer's certificates, where a proxy re-signs: --build-arg PIP_CERT=/path/in/the/build
ARG PIP_CERT
ARG SOURCE_DATE_EPOCH=0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
WORKDIR /src
COPY deploy/images/build.lock deploy/images/auth.lock deploy/images/
RUN python3 -m venv /build && /build/bin/pip install -q --require-hashes -r deploy/images/build.lock \
 && python3 -m venv --without-pip /opt/trickle \
 && /build/bin/pip --python /opt/trickle/bin/python install -q --require-hashes -r deploy/images/auth.lock
COPY pyproject.toml README.md ./
COPY shared shared
COPY services/__init__.py services/
COPY services/auth services/auth
# Byte code that is never checked against a file's time: the root is read-only, and builds compare equal.
RUN /build/bin/pip wheel -q --no-deps --no-build-isolation -w /dist . \
 && /build/bin/pip --python /opt/trickle/bin/python install -q --no-deps /dist/*.whl \
 && /opt/trickle/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/trickle/lib

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="trickle auth" \
      org.opencontainers.image.description="Answers logins; keeps the old user database while you move"
ENV PATH=/opt/trickle/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/trickle /opt/trickle
USER 10001:10001
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/trickle/bin/python", "-m", "services.auth"]
CMD ["serve"]
