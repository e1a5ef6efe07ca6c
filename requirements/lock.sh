#!/bin/sh
# Resolve pyproject.toml into one pinned file per environment. `make lock` runs it; commit the result.
set -eu
cd "$(dirname "$0")/.."
if [ -n "${PIP_FIND_LINKS:-}" ]; then export UV_FIND_LINKS="$PIP_FIND_LINKS"; else export UV_TORCH_BACKEND=cpu; fi
if [ -n "${PIP_CERT:-}" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"; fi

lock() {  # name, extras…
    name=$1; shift
    extras=""; for extra in "$@"; do extras="$extras --extra $extra"; done
    # The other environments take the versions of the largest, so that one bundle meets one set.
    constraint=""; [ "$name" = dev ] || constraint="--constraint requirements/dev.txt"
    # shellcheck disable=SC2086
    .venv-tools/bin/uv pip compile -q --python-version 3.11 --no-annotate --custom-compile-command "make lock" \
        $constraint $extras pyproject.toml -o "requirements/$name.txt" ${UPGRADE:+--upgrade}
    # A local version (+cpu) exists in one index only; the plain version matches it wherever it is.
    sed -i 's/^\(torch==[0-9.]*\)+cpu/\1/' "requirements/$name.txt"
    echo "lock: requirements/$name.txt, $(grep -c '==' "requirements/$name.txt") packages"
}
lock dev dev
lock training training corpus evaluation export
lock serving serving
lock gateway gateway
lock edge edge
lock load load
