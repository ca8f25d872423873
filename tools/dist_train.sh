#!/usr/bin/env bash
# Trains CONFIG on GPUS processes of this machine, one a GPU (or a CPU process each without GPUs):
#   bash tools/dist_train.sh CONFIG GPUS [--resume_from CKPT] [--pretrained WEIGHTS] [--deterministic] [overrides]
# MASTER_PORT chooses the port that the processes meet at.
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: bash tools/dist_train.sh CONFIG GPUS [--resume_from CKPT] [--pretrained WEIGHTS] [--deterministic] [overrides]" >&2
  exit 2
fi
config=$1
gpus=$2
shift 2
python=${PYTHON:-$(dirname "$0")/../.venv/bin/python}
[ -x "$python" ] || python=$(command -v "$python" || command -v python3)
exec "$python" -m torch.distributed.run --nproc-per-node "$gpus" \
  --master-addr 127.0.0.1 --master-port "${MASTER_PORT:-29500}" \
  -m bagreid train "$config" "$@"
