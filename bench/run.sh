#!/usr/bin/env bash
# Runs benchmarks and prints their table. Arguments are JMH's: patterns of names, -p parameter=value, -i iterations, …
# ESPALIER_JAVA_OPTIONS adds options for Java. Exits with 0, with 1 if the build or a benchmark fails, or with 2 if the
# arguments are wrong.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == --help ]]; then
  echo 'usage: bench/run.sh [PATTERN]... [OPTION]... runs benchmarks and prints their table; -l lists them, -h the options (JMH'"'"'s)'
  exit
fi

. bench/prepare.sh
# On the class path, as JMH wants it.
# shellcheck disable=SC2086 # the options are words
exec "$java" --enable-native-access=ALL-UNNAMED ${ESPALIER_JAVA_OPTIONS:-} -cp "$classpath" \
  dev.espalier.bench.BenchmarkTable "$@"
