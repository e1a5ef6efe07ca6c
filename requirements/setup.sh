#!/bin/sh
# Make the two environments, .venv (everything) and .venv-edge (the torch-free edge runtime), from the
# pinned locks. A second run with unchanged locks ends at once. Called by `make setup`.
set -eu
cd "$(dirname "$0")/.."

UV_VERSION=0.13.9
NEEDED_MB=9000
STAMP=.venv/.trivium-setup
wanted=$(cat requirements/*.txt requirements/*.sh pyproject.toml | sha256sum | cut -d' ' -f1)

[ "$(cat "$STAMP" 2>/dev/null)" != "$wanted" ] || { echo "setup: up to date"; exit 0; }

fail() { echo "error: $1" >&2; exit 1; }

[ "$(uname -s)" = Linux ] || fail "$(uname -s) is not supported; use Linux (Debian 12, Ubuntu 22.04 or newer)"
free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
if [ ! -d .venv ] && [ "$free_mb" -lt "$NEEDED_MB" ]; then
    fail "only $free_mb MB free in $(pwd); the environments need $NEEDED_MB MB"
fi
sh requirements/apt.sh
command -v python3 >/dev/null || fail "python3 not found; install it with: apt-get install python3 python3-venv"

# The CPU build of torch: from a local folder of wheels where the environment names one, else from
# PyTorch's own index.
if [ -n "${PIP_FIND_LINKS:-}" ]; then export UV_FIND_LINKS="$PIP_FIND_LINKS"; else export UV_TORCH_BACKEND="${UV_TORCH_BACKEND:-cpu}"; fi
if [ -n "${PIP_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"; fi
if [ -n "${PIP_CERT:-}" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"; fi
export UV_PYTHON_PREFERENCE="${UV_PYTHON_PREFERENCE:-system}"

uv=.venv-tools/bin/uv
if ! "$uv" --version 2>/dev/null | grep -q " $UV_VERSION"; then
    echo "setup 1/4: uv $UV_VERSION"
    python3 -m venv .venv-tools || fail "python3 -m venv does not work; install it with: apt-get install python3-venv"
    .venv-tools/bin/pip install -q "uv==$UV_VERSION" || fail "pip could not install uv $UV_VERSION; is the network up?"
fi

# Bytecode is compiled here, once: where PYTHONDONTWRITEBYTECODE is set, every start would compile torch and vLLM
# again (20 s against 11 s for a vLLM server).
environment() {  # folder, lock
    "$uv" venv -q --allow-existing --python 3.11 "$1" ||
        fail "Python 3.11 is needed; found $(python3 --version 2>&1); install python3.11 or let uv download it"
    "$uv" pip sync -q --compile-bytecode --python "$1" "$2" || fail "the packages of $2 could not be installed; see the lines above"
    "$uv" pip install -q --python "$1" --no-deps --editable . || fail "the project itself could not be installed"
}

echo "setup 2/4: .venv, $(grep -c '==' requirements/dev.txt) packages (2 to 5 minutes over the network)"
environment .venv requirements/dev.txt
echo "setup 3/4: .venv-edge, $(grep -c '==' requirements/edge.txt) packages, no torch"
environment .venv-edge requirements/edge.txt
echo "setup 4/4: look"
.venv/bin/python -c "import torch, vllm; print('setup: torch', torch.__version__)" 2>/dev/null || fail "torch or vllm does not import; run: .venv/bin/python -c 'import torch, vllm'"
.venv-edge/bin/python -c "import onnxruntime_genai" || fail "onnxruntime-genai does not import"
echo "$wanted" > "$STAMP"
echo "setup: done"
