#!/usr/bin/env bash
# Runs test_loaders.py beside each trainer, which is installed in a venv of its own: their requirements exclude ours and
# each other's. Only what their loaders import is installed; all else comes from this project's .venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
shared=$(.venv/bin/python -c 'import sys, torch, pathlib; print(pathlib.Path(torch.__file__).parents[1])')

beside() {  # which tests, then what is installed without dependencies
  local name=$1 venv=$scratch/$1
  shift
  .venv/bin/python -m venv "$venv"
  local packages
  packages=$("$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')
  "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps "$@"
  echo "$shared" > "$packages/shared.pth"
  [ "$name" != llama_factory ] || touch "$packages/torchaudio.py"  # imported for audio, which no export has
  PYTHONPATH=$PWD HF_HUB_OFFLINE=1 "$venv/bin/python" -m pytest tests/trainers/test_loaders.py -q -k "$name"
}

beside openrlhf openrlhf==0.11.2 pylatexenc==2.11
beside llama_factory llamafactory==0.9.5 peft==0.21.2 omegaconf==2.4.0
beside axolotl axolotl==0.19.0 peft==0.21.2 addict==2.4.0 posthog==7.91.1 distro==1.9.0 numba==0.68.1 llvmlite==0.50.0
beside rewardbench rewardbench==0.1.4 fschat==0.2.36 sentencepiece==0.2.3 \
  transformers==4.51.0 tokenizers==0.21.4 huggingface_hub==0.36.0 trl==0.16.1 datasets==3.6.0 fsspec==2025.3.0 \
  dill==0.3.8 multiprocess==0.70.16
