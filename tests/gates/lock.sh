#!/bin/sh
# Makes the three lock files: what runs, what builds, and all of it together with what tests. For every Python from 3.11
# and every platform at once, each file by its hash; no index host is written down, so any mirror serves.
set -eu
uv=$1
compile() {
    "$uv" pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
        --no-emit-find-links --custom-compile-command "make lock" "$@"
}
compile pyproject.toml --extra embedded --output-file requirements.lock
compile --group build --constraints requirements.lock --output-file requirements-build.lock
compile pyproject.toml --extra embedded --extra sandbox --group build --group dev --constraints requirements.lock \
    --constraints requirements-build.lock --output-file requirements-dev.lock
