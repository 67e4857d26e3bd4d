#!/usr/bin/env bash
# Test with several processes, one per GPU, or on the CPU where there is none:
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment of each.
set -euo pipefail
if [ $# -lt 3 ]; then sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
config=$1 checkpoint=$2 processes=$3
shift 3
exec "${PYTHON:-python}" "$(dirname "$0")/processes.py" \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$processes" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
