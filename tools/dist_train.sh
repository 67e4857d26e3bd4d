#!/usr/bin/env bash
# Train with several processes, one per GPU, or on the CPU where there is none:
#   tools/dist_train.sh CONFIG PROCESSES [options of train.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment of each.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
config=$1 processes=$2
shift 2
exec "${PYTHON:-python}" "$(dirname "$0")/processes.py" \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$processes" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
