#!/usr/bin/env bash
# Compiles the kernels for the CPU, with the execution model in simt/, and over them what stands in for the driver, for
# cuBLAS and for NVML (driver/). Without g++ it says so and succeeds: then the tests that run kernels are skipped. The model itself is
# never instrumented, so one object serves all variants.
# usage: build.sh OUTPUT [plain|address|thread] [KERNELS]     KERNELS: a changed copy of src/main/cuda (mutants)
set -euo pipefail
output=$1 variant=${2:-plain}
here=$(cd "$(dirname "$0")" && pwd)
kernels=${3:-$here/../../main/cuda}

if ! command -v g++ >/dev/null; then
  echo "kernels: no g++ found, the kernels are not tested on the CPU"
  exit 0
fi
mkdir -p "$output"
common=(-std=c++17 -g -fPIC -ffp-contract=off -Wall -Wextra -Werror -Wno-unknown-pragmas -Wno-psabi)
if [[ $(uname -m) == x86_64 ]]; then common+=(-mavx2 -mfma); fi
read -ra more <<<"${CXXFLAGS:-}" && common+=("${more[@]}")
case $variant in
  plain) flags=(-O2) ;;
  address) flags=(-O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined) ;;
  thread) flags=(-O1 -fno-omit-frame-pointer -fsanitize=thread) ;;
esac

headers=$(ls -t "$kernels"/*.cuh "$here"/simt/*.h "$0" | head -1)
newest=$(ls -t "$kernels"/*.cu "$here"/*/*.cpp "$headers" | head -1)
[[ $output/libkernels.so -nt $newest ]] && exit 0

running=0
objects=()
compile() { # flags -c source -o object
  local source=${*: -3:1} object=${*: -1}
  [[ $object -nt $source && $object -nt $headers ]] && return
  g++ "${common[@]}" "$@" &
  running=$((running + 1))
  if ((running == 2)); then # as many at a time
    wait -n
    running=1
  fi
}
readarray -t sources < <(ls -S "$kernels"/*.cu) # the largest first
for file in engine async; do
  compile -O2 -c "$here/simt/$file.cpp" -o "$output/$file.o"
  objects+=("$output/$file.o")
done
for file in "${sources[@]}"; do
  object=$output/$(basename "$file" .cu).o
  compile "${flags[@]}" -I"$here/simt" -I"$kernels" -x c++ -c "$file" -o "$object"
  objects+=("$object")
done
for ((; running > 0; running--)); do wait -n; done
# A sanitizer's runtime comes from LD_PRELOAD: java is not linked with it.
case $variant in
  address) ln -sf "$(g++ -print-file-name=libasan.so)" "$output/libasan.so" ;; # it insists on its name
  thread) ln -sf "$(g++ -print-file-name=libtsan.so)" "$output/libtsan.so" ;;
esac
g++ -shared "${flags[@]}" "${objects[@]}" -Wl,-soname,libkernels.so -o "$output/libkernels.so.new"
# What stands in for the driver, cuBLAS and NVML, in a folder for LD_LIBRARY_PATH; the driver finds the kernels one up.
mkdir -p "$output/driver"
stand_in() { # source name options…
  g++ "${common[@]}" -O2 -shared "$here/driver/$1.cpp" -Wl,-soname,"$2" -o "$output/driver/$2" "${@:3}"
}
prototypes=$here/../../../../bindings/src/main/jextract
stand_in libcuda libcuda.so.1 "$output/libkernels.so.new" -Wl,-rpath,'$ORIGIN/..'
stand_in libcublas libcublas.so.13 -DVERSION=13 -I"$prototypes/cublas" "$output/driver/libcuda.so.1" -Wl,-rpath,'$ORIGIN'
# Version 12 has its symbols under its name, and JCublas asks for them so.
echo 'libcublas.so.12 { *; };' >"$output/libcublas.version"
stand_in libcublas libcublas.so.12 -DVERSION=12 -I"$prototypes/cublas" "$output/driver/libcuda.so.1" \
  -Wl,-rpath,'$ORIGIN' -Wl,--version-script="$output/libcublas.version"
stand_in libnvidia-ml libnvidia-ml.so.1 -I"$prototypes/nvml"
mv "$output/libkernels.so.new" "$output/libkernels.so"
