#!/usr/bin/env bash
# Regenerates src/generated/java; with --check only compares it with what would be generated.
# Needs jextract for JDK 25 ($JEXTRACT, else on PATH), Maven, unzip and cuda.h of the CUDA toolkit 13.0 ($CUDA_HOME, else
# /usr/local/cuda).
set -euo pipefail
cd "$(dirname "$0")"

jextract=${JEXTRACT:-jextract}
cuda=${CUDA_HOME:-/usr/local/cuda}/include
cuda_version=13000
generated=../../generated/java
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! command -v "$jextract" >/dev/null; then
  echo "regenerate.sh: no jextract: build it from the sources of OpenJDK's jextract and set JEXTRACT to it" >&2
  exit 1
fi
if ! grep -qE "^#define CUDA_VERSION +$cuda_version\$" "$cuda/cuda.h"; then
  echo "regenerate.sh: $cuda/cuda.h is not that of CUDA $cuda_version: set CUDA_HOME to such a toolkit" >&2
  exit 1
fi

# generate LIBRARY HEADER [OPTION]...: the symbols in LIBRARY/symbols.txt
generate() {
  local library=$1 header=$2
  "$jextract" "${@:3}" "@$library/symbols.txt" --target-package "dev.espalier.bindings.$library" \
    --output "$work/java" "$header"
}

# oneDNN: the C headers of the Maven artifact whose library is loaded. They are the same for every platform.
version=$(sed -n 's:.*<onednn.version>\(.*\)</onednn.version>.*:\1:p' ../../../pom.xml)
mvn -q -f ../../../pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy \
  -Dartifact="org.bytedeco:dnnl:$version:jar:linux-x86_64" -DoutputDirectory="$work"
unzip -q "$work"/dnnl-*.jar 'org/bytedeco/dnnl/linux-x86_64/include/*' -d "$work"
generate onednn onednn/onednn.h --include-dir "$work/org/bytedeco/dnnl/linux-x86_64/include"
# NVIDIA's driver: the toolkit's header. cuBLAS and NVML: prototypes written down here.
generate cuda "$cuda/cuda.h" --include-dir "$cuda"
generate cublas cublas/cublas.h
generate nvml nvml/nvml.h

if [[ ${1-} == --check ]]; then
  diff --recursive "$generated" "$work/java"
else
  rm -rf "$generated"
  cp -r "$work/java" "$generated"
fi
