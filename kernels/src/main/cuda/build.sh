#!/usr/bin/env bash
# Compiles every kernel family to a fatbin (machine code for the chips below, PTX for later ones), and to PTX and the
# assembler's report, which tests read. Sources that have not changed are not compiled again by the same nvcc. Without
# nvcc, or with one that does not know the chips, it says so and succeeds: then the library has no GPU kernels.
# usage: build.sh FATBINS REPORTS
set -euo pipefail
fatbins=$1 reports=$2
source=$(cd "$(dirname "$0")" && pwd)
. "$source/nvcc.sh"

problem=$(nvcc_problem)
if [[ -n $problem ]]; then
  echo "kernels: $problem: building without GPU kernels"
  exit 0
fi
mkdir -p "$fatbins" "$reports"

# The CUDA version that the fatbins are for, as drivers give theirs: 13000 is 13.0. The library tells it where a driver is
# too old for them.
version=$(nvcc_release | sed 's/\(.*\)\.\(.*\)/\10\20/')
if [[ $version != "$(cat "$fatbins/cuda.version" 2>/dev/null)" ]]; then
  rm -f "$fatbins"/*.fatbin
  echo "$version" >"$fatbins/cuda.version"
fi

# All chips share the PTX of compute_80, except in the family with wgmma, which only compute_90a has and whose tiles take
# more registers on compute_120.
compile() {
  local family=$1 intermediate=$reports/$1
  local targets=(-gencode 'arch=compute_80,code=[sm_80,sm_86,sm_89,sm_90a,sm_100,sm_120,compute_80]')
  if grep -q HAS_WGMMA "$source/$family.cu"; then
    targets=(-gencode 'arch=compute_80,code=[sm_80,sm_86,sm_89,sm_100,compute_80]'
      -gencode arch=compute_90a,code=sm_90a -gencode arch=compute_120,code=sm_120)
  fi
  rm -rf "$intermediate" && mkdir "$intermediate"
  nvcc -std=c++17 -fatbin -Xptxas -v --keep --keep-dir "$intermediate" "${targets[@]}" "$source/$family.cu" \
    -o "$reports/$family.fatbin" >"$reports/$family.ptxas" 2>&1 || { cat "$reports/$family.ptxas" >&2; return 1; }
  mv "$(ls "$intermediate"/*.ptx | tail -1)" "$reports/$family.ptx" # of the latest architecture
  rm -rf "$intermediate"
  mv "$reports/$family.fatbin" "$fatbins/$family.fatbin" # last: its time says that all is there
}

running=0
readarray -t families < <(ls -S "$source"/*.cu) # the largest first
for file in "${families[@]}"; do
  family=$(basename "$file" .cu)
  newest=$(ls -t "$file" "$source"/*.cuh "$0" | head -1)
  [[ $fatbins/$family.fatbin -nt $newest ]] && continue
  compile "$family" &
  running=$((running + 1))
  if ((running == 2)); then # as many at a time
    wait -n
    running=1
  fi
done
for ((; running > 0; running--)); do wait -n; done
