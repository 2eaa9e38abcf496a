#!/usr/bin/env bash
# Times Espalier's scores against PyTorch's on this machine, in turns, and prints a row for each network.
#   race.sh [ROUNDS] [fp32|tf32|bf16] [cpu|cuda]
# Needs PyTorch: on Debian the packages python3-torch and libopenblas0-openmp; $PYTHON names another Python. On a machine
# without a JDK $ESPALIER_BENCH names the bundle's bin/espalier-bench. On a GPU, the samples of both are there from the
# start. ESPALIER_JAVA_OPTIONS adds options for Java.
set -euo pipefail

if [[ ${1:-} == -* ]]; then
  echo 'usage: race.sh [ROUNDS] [fp32|tf32|bf16] [cpu|cuda]'
  [[ $1 == --help ]] && exit || exit 2
fi
rounds=${1:-5}
precision=${2:-fp32}
device=${3:-cpu}
python=${PYTHON:-python3}
seconds=8 # of each in each round: Java's compiler needs some
peer=(--threads "$(nproc)")
races=(784-300-100-10:10000 1024-2048-2048-10:4096)
if [[ $device == cuda ]]; then
  seconds=3
  peer+=(--cuda --batch 8192)
  [[ $precision == tf32 ]] || peer+=(--no-tf32)
  races=(784-300-100-10:10000 4096-4096-4096-16:16384)
fi
peer+=(--seconds "$seconds")
"$python" -c 'import torch' 2>/dev/null || {
  echo "race.sh: $python has no PyTorch: install it, or name another Python with PYTHON" >&2
  exit 1
}
peers=$(cd "$(dirname "$0")" && pwd)
if [[ -z ${ESPALIER_BENCH:-} ]]; then
  cd "$peers/../.."
  . bench/prepare.sh
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ours() {
  if [[ -n ${ESPALIER_BENCH:-} ]]; then
    "$ESPALIER_BENCH" --main PeerScores "$@"
    return
  fi
  # shellcheck disable=SC2086 # the options are words
  "$java" -Xmx2g --enable-native-access=ALL-UNNAMED ${ESPALIER_JAVA_OPTIONS:-} -cp "$classpath" \
    dev.espalier.bench.PeerScores "$@"
}

echo '| network | Espalier | PyTorch | PyTorch / Espalier, median (least–most) |'
echo '|---|---|---|---|'
for race in "${races[@]}"; do
  network=${race%:*} samples=${race#*:}
  ours write "$network" "$samples" "$work/$network" "$device"
  : >"$work/times"
  for ((round = 0; round < rounds; round++)); do
    ours time "$network" "$samples" "$seconds" "$device" "$precision" >>"$work/times"
    "$python" "$peers/pytorch_scores.py" "$work/$network" "${peer[@]}" >>"$work/times"
  done
  "$python" - "$network" "$samples" "$precision on $device" "$work/times" <<'TABLE'
import json, statistics, sys
network, samples, precision, path = sys.argv[1:]
rows = [json.loads(line) for line in open(path)]
# The best of a round is what the machine does when others leave it alone.
best = [min(row["seconds"]) for row in rows]
ours, theirs = best[0::2], best[1::2]
ratios = sorted(b / a for a, b in zip(ours, theirs))
print(f"| {network}, {samples} samples, jacobian, {precision}; PyTorch on {rows[1]['blas']} | {1e3 * statistics.median(ours):.2f} ms "
      f"| {1e3 * statistics.median(theirs):.2f} ms | {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) |")
TABLE
done
