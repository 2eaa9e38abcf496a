#!/usr/bin/env bash
# Prunes a model of one layer to 90 % zeros and prints the time and the most memory that was resident.
#   memory.sh [WIDTH] [SAMPLES]        16384 and 4096 unless given: 1 GiB of weights
# Needs Linux, Python, and twice the model on disk where temporary files lie.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == -* ]]; then
  echo 'usage: bench/memory.sh [WIDTH] [SAMPLES]'
  [[ $1 == --help ]] && exit || exit 2
fi
width=${1:-16384}
samples=${2:-4096}
. bench/prepare.sh
./espalier --version >/dev/null # builds
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$java" --enable-native-access=ALL-UNNAMED -cp "$classpath" \
  dev.espalier.bench.LargeLayer "$width" "$samples" "$work"
"${PYTHON:-python3}" - "$width" "$samples" ./espalier prune "$work/model.safetensors" --data "$work/samples.safetensors" \
  -o "$work/pruned.safetensors" --sparsity 0.9 --device cpu --quiet <<'MEASURE'
import resource, subprocess, sys, time
width, samples, *command = sys.argv[1:]
start = time.monotonic()
subprocess.run(command, check=True)
seconds = time.monotonic() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
print(f"{width} x {width}, {samples} samples: {peak:.2f} GiB resident at most, {seconds:.0f} s")
MEASURE
