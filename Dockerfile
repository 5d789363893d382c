# The image of remediator: a virtual environment made from the lock file, copied into a slim Python.
#
#   docker build -t remediator .
#   docker run --read-only -p 8080:8080 -v remediator:/var/lib/remediator -v ./rules:/etc/remediator/rules:ro remediator
#
# The base is pinned to an exact release of Python and Debian. A digest would pin it to the bit, but it names one build
# for one registry and goes stale with every security rebuild: whoever builds for production puts theirs behind the tag.
FROM python:3.11.14-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /opt
RUN python -m venv --without-pip remediator && python -m venv build
COPY requirements.lock requirements-build.lock ./
RUN build/bin/python -m pip --python remediator/bin/python install --require-hashes -r requirements.lock
RUN build/bin/python -m pip install --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE source/
COPY rules source/rules
COPY remediator source/remediator
RUN build/bin/python -m pip wheel --no-build-isolation --no-deps --no-index --wheel-dir wheels ./source
RUN build/bin/python -m pip --python remediator/bin/python install --no-deps --no-index wheels/*.whl

FROM python:3.11.14-slim-bookworm

LABEL org.opencontainers.image.title="remediator" \
      org.opencontainers.image.description="Alerts in, guarded and verified remediations out, everything recorded" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.base.name="python:3.11.14-slim-bookworm"

# The embedded PostgreSQL refuses to make its data directory for a user that /etc/passwd does not know.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/remediator --shell /usr/sbin/nologin remediator \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/remediator

# Owned by root and not writable by the user that runs it: a daemon has no business changing its own code.
COPY --from=build --chown=0:0 /opt/remediator /opt/remediator

# The state folder is $XDG_STATE_HOME/remediator: the one place that is written to, so the root may be read-only.
ENV PATH=/opt/remediator/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_STATE_HOME=/var/lib
USER 10001:10001
WORKDIR /var/lib/remediator
VOLUME ["/var/lib/remediator"]
EXPOSE 8080
# The drain takes at most 25 s; orchestrators wait 30 s after this signal.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/opt/remediator/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/livez', timeout=4)"]
ENTRYPOINT ["/opt/remediator/bin/python", "-m", "remediator"]
CMD ["serve", "--listen", "0.0.0.0:8080"]
