#!/usr/bin/env bash
# Regenerates src/generated/java; with --check only compares it with what would be generated.
# Needs jextract for JDK 25 ($JEXTRACT, else on PATH), Maven and unzip.
set -euo pipefail
cd "$(dirname "$0")"

jextract=${JEXTRACT:-jextract}
generated=../../generated/java
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! command -v "$jextract" >/dev/null; then
  echo "regenerate.sh: no jextract: build it from the sources of OpenJDK's jextract and set JEXTRACT to it" >&2
  exit 1
fi

# oneDNN: the C headers of the Maven artifact whose library is loaded. They are the same for every platform.
version=$(sed -n 's:.*<onednn.version>\(.*\)</onednn.version>.*:\1:p' ../../../pom.xml)
mvn -q -f ../../../pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy \
  -Dartifact="org.bytedeco:dnnl:$version:jar:linux-x86_64" -DoutputDirectory="$work"
unzip -q "$work"/dnnl-*.jar 'org/bytedeco/dnnl/linux-x86_64/include/*' -d "$work"
"$jextract" --include-dir "$work/org/bytedeco/dnnl/linux-x86_64/include" @onednn/symbols.txt \
  --target-package dev.espalier.bindings.onednn --output "$work/java" onednn/onednn.h

if [[ ${1-} == --check ]]; then
  diff --recursive "$generated" "$work/java"
else
  rm -rf "$generated"
  cp -r "$work/java" "$generated"
fi
