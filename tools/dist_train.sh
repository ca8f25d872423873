#!/usr/bin/env bash
# Trains on one to many machines; without arguments it says how.
set -euo pipefail

usage() {
  cat >&2 <<'TEXT'
usage: bash tools/dist_train.sh CONFIG GPUS [--resume_from CKPT] [--pretrained WEIGHTS] [--deterministic] [overrides]

Trains CONFIG on GPUS processes of this machine, one a GPU (or a CPU process each without GPUs).

Many machines: run the same command on each of them, with these variables.
  NNODES        how many machines, or 1:4 for any number from 1 to 4 that comes and goes  (1)
  MASTER_ADDR   address of the first machine, the same on all                     (127.0.0.1)
  MASTER_PORT   a port that is free there                                             (29500)
  NODE_RANK     number of this machine, from 0; may be left out where NNODES is a range or
                MAX_RESTARTS is given: the first machine then knows itself by its address
  MAX_RESTARTS  how often all processes are started again after one of them failed
                (0; 3 where NNODES is a range)
  RDZV_ID       name of the job, where several share a first machine                (bagreid)
  LOCAL_ADDR    address of this machine, where its host name does not resolve
  RDZV_CONF     more for torchrun's --rdzv-conf, such as join_timeout=900,last_call_timeout=30
  PYTHON        the interpreter                                         (.venv/bin/python, python3)

Whatever starts again goes on from its newest whole checkpoint (--resume-from auto). The work dir
must be one that all machines share, and the archive must have the same path on all.

examples:
  bash tools/dist_train.sh configs/dgl/r50_sysu30k.py 8
  NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 bash tools/dist_train.sh configs/dgl/r50_sysu30k.py 8
  NNODES=2 NODE_RANK=1 MASTER_ADDR=10.0.0.1 bash tools/dist_train.sh configs/dgl/r50_sysu30k.py 8
  NNODES=1:4 MASTER_ADDR=10.0.0.1 bash tools/dist_train.sh configs/dgl/r50_sysu30k.py 8
docs/many_machines.md tells the whole story.
TEXT
  exit 2
}

refuse() {
  echo "dist_train.sh: $1" >&2
  exit 2
}

[ $# -ge 2 ] || usage
config=$1
gpus=$2
shift 2
[[ $gpus =~ ^[1-9][0-9]*$ ]] || refuse "GPUS is a number from 1, not '$gpus'"

nodes=${NNODES:-1}
address=${MASTER_ADDR:-127.0.0.1}
port=${MASTER_PORT:-29500}
conf=${RDZV_CONF:-}
[[ $nodes =~ ^[1-9][0-9]*(:[1-9][0-9]*)?$ ]] || refuse "NNODES is a number or a range such as 1:4, not '$nodes'"
elastic=no
[[ $nodes == *:* ]] && elastic=yes
restarts=0
[ $elastic = yes ] && restarts=3
restarts=${MAX_RESTARTS:-$restarts}
[[ $restarts =~ ^[0-9]+$ ]] || refuse "MAX_RESTARTS is a number, not '$restarts'"

launch=(--nnodes "$nodes" --nproc-per-node "$gpus" --max-restarts "$restarts")
if [ "$nodes" != 1 ] && [ -z "${MASTER_ADDR:-}" ]; then
  refuse "MASTER_ADDR must name the first of the machines"
fi
if [ $elastic = yes ] || [ "$restarts" != 0 ]; then
  # Processes that meet again and again: torchrun's c10d rendezvous, kept by the first machine. The
  # static one hands out what the processes before wrote, and those after would call the dead.
  if [ "$nodes" = 1 ]; then
    NODE_RANK=0
    LOCAL_ADDR=${LOCAL_ADDR:-$address}
  fi
  if [ -n "${NODE_RANK:-}" ]; then
    host=0
    [ "$NODE_RANK" = 0 ] && host=1
    conf="is_host=$host${conf:+,$conf}"
  fi
  launch+=(--rdzv-backend c10d --rdzv-endpoint "$address:$port" --rdzv-id "${RDZV_ID:-bagreid}")
  # A machine that joins later must learn anew where the processes meet; torchrun's shared store
  # tells that in the first round alone.
  export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=${TORCH_DISABLE_SHARE_RDZV_TCP_STORE:-1}
else
  [ "$nodes" = 1 ] || [ -n "${NODE_RANK:-}" ] || refuse "NODE_RANK must number the machines, from 0"
  launch+=(--node-rank "${NODE_RANK:-0}" --master-addr "$address" --master-port "$port")
fi
[ -z "$conf" ] || launch+=(--rdzv-conf "$conf")
[ -z "${LOCAL_ADDR:-}" ] || launch+=(--local-addr "$LOCAL_ADDR")

given=$(printf '%s\n' "$@" | grep -E '^--(resume[-_]from|anew)(=|$)' || true)
if [ "$restarts" != 0 ] || [ $elastic = yes ]; then
  [[ $given != *--anew* ]] || refuse "a job that starts again cannot begin anew each time: remove the old work dir, or leave --anew out"
  [ -n "$given" ] || set -- "$@" --resume-from auto
fi

python=${PYTHON:-$(dirname "$0")/../.venv/bin/python}
[ -x "$python" ] || python=$(command -v "$python" || command -v python3)
command=("$python" -m torch.distributed.run "${launch[@]}" -m bagreid train "$config" "$@")
echo "dist_train.sh:$(printf ' %q' "${command[@]}")" >&2
exec "${command[@]}"
