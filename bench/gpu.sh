#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: runs the tests tagged gpu, a part of them again under compute-sanitizer, and times the
# kernels, scoring passes, launches and copies. Leaves a text file of each in FOLDER, and says what came of it. Needs no
# build: only the variables
#   CLASSPATH  all jars, those of the tests and of JUnit's console launcher among them
#   JAVA       a Java 25 (default: java on the path)
#   ESPALIER_SANITIZER  compute-sanitizer (default: that on the path or in /usr/local/cuda/bin)
# usage: gpu.sh FOLDER
set -uo pipefail
case ${1:-} in
  --help)
    echo 'usage: gpu.sh FOLDER runs the tests tagged gpu and the GPU programs, and leaves a text file of each in FOLDER'
    exit
    ;;
  '' | -*)
    echo 'gpu.sh: give the folder for the results; --help shows what it runs' >&2
    exit 2
    ;;
esac
folder=$1
[[ -n ${CLASSPATH:-} ]] || {
  echo 'gpu.sh: set CLASSPATH to all jars, those of the tests among them' >&2
  exit 2
}
export CLASSPATH
java=("${JAVA:-java}" --enable-native-access=ALL-UNNAMED)
sanitizer=${ESPALIER_SANITIZER:-$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer || true)}
mkdir -p "$folder" || exit 1
failed=0

# Runs a command with its output in a file of FOLDER, whose last lines tell the most.
step() { # name command…
  local name=$1 start=$SECONDS
  shift
  if "$@" >"$folder/$name.txt" 2>&1; then
    echo "$name: passed in $((SECONDS - start)) s"
  else
    echo "$name: FAILED after $((SECONDS - start)) s, see $folder/$name.txt"
    tail -n 5 "$folder/$name.txt"
    failed=1
  fi
}

# Skipped tests are no success here, where there is a GPU.
tests() { # java and its options
  "$@" org.junit.platform.console.ConsoleLauncher execute --include-engine=junit-jupiter --select-package=dev.espalier \
    --include-tag=gpu --details=tree --disable-banner --disable-ansi-colors | tee "$folder/.tests"
  local status=${PIPESTATUS[0]}
  grep -Eq '\[ +[1-9][0-9]* tests successful' "$folder/.tests" || status=1
  rm -f "$folder/.tests"
  return "$status"
}

if ! "${java[@]}" dev.espalier.bench.GpuKernels --tiny >"$folder/smoke.txt" 2>&1; then
  tail -n 1 "$folder/smoke.txt" >&2
  exit 1
fi
command -v nvidia-smi >/dev/null && step device nvidia-smi -q
step tests tests "${java[@]}"
for tool in memcheck racecheck; do
  if [[ -z $sanitizer ]]; then
    echo "$tool: not run, compute-sanitizer was not found: install CUDA's toolkit or set ESPALIER_SANITIZER"
  else
    step "$tool" tests "$sanitizer" --target-processes all --tool "$tool" --error-exitcode 9 "${java[@]}" -Despalier.kernels.brief=true
  fi
done
for program in Kernels Scoring Overhead; do
  name=${program,,}
  step "$name" "${java[@]}" "dev.espalier.bench.Gpu$program"
  cat "$folder/$name.txt"
done
exit "$failed"
