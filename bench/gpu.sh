#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: runs the tests tagged gpu, those of the kernels again under compute-sanitizer with fewer
# shapes, and times the kernels, scoring passes, launches and copies. Leaves a text file of each step in FOLDER, written
# while the step runs, and says what came of it. A step that fails or takes too long does not keep the others from running,
# and leaves no process behind; nothing is timed while another process uses the GPU. Needs no build: only the variables
#   CLASSPATH  all jars, those of the tests and of JUnit's console launcher among them
#   JAVA       a Java 25 (default: java on the path)
#   ESPALIER_SANITIZER  compute-sanitizer (default: that on the path or in /usr/local/cuda/bin)
#   ESPALIER_STEP_SECONDS  the longest that a step may take (default: 300)
#   ESPALIER_BENCH  the archive's bin/espalier-bench: with it, and PyTorch for PYTHON (default: python3), the race of peers/
#                   is timed too
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
limit=${ESPALIER_STEP_SECONDS:-300}
[[ $limit =~ ^[1-9][0-9]*$ ]] || {
  echo "gpu.sh: ESPALIER_STEP_SECONDS is a number of seconds, not $limit" >&2
  exit 2
}
export CLASSPATH
java=("${JAVA:-java}" --enable-native-access=ALL-UNNAMED)
sanitizer=${ESPALIER_SANITIZER:-$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer || true)}
mkdir -p "$folder" || exit 1
failed=0

# The processes that steps have started. They have a mark in their environment: compute-sanitizer's outlive it, and need not
# be in its process group.
mark=$$-$RANDOM
ours() {
  grep -lsz "^ESPALIER_GPU_RUN=$mark\$" /proc/[0-9]*/environ | cut -d/ -f3
}

# Ends all of them, within seconds.
end_ours() {
  local signal pids
  for signal in TERM KILL; do
    for _ in {1..25}; do
      mapfile -t pids < <(ours)
      ((${#pids[@]})) || return 0
      kill -s "$signal" "${pids[@]}" 2>/dev/null
      sleep 0.2
    done
  done
  echo "gpu.sh: these processes do not end: ${pids[*]}" >&2
  return 1
}
trap end_ours EXIT
trap 'exit 130' INT TERM

# Runs a command with its output in a file of FOLDER, until it ends or the time is up.
limited() { # name command…
  local output=$folder/$1.txt start=$SECONDS pid
  shift
  ESPALIER_GPU_RUN=$mark "$@" >"$output" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if ((SECONDS - start >= limit)); then
      echo "gpu.sh: stopped after $limit s" >>"$output"
      end_ours
      wait "$pid"
      return 124
    fi
    sleep 0.1
  done
  wait "$pid"
}

# Runs a command as above and says what came of it. The last lines of its output tell the most.
step() { # name command…
  local name=$1 start=$SECONDS status
  limited "$@"
  status=$?
  case $status in
    0) echo "$name: passed in $((SECONDS - start)) s" ;;
    124) echo "$name: STOPPED after $limit s, see $folder/$name.txt" ;;
    *) echo "$name: FAILED after $((SECONDS - start)) s, see $folder/$name.txt" ;;
  esac
  ((status == 0)) || {
    failed=1
    tail -n 5 "$folder/$name.txt"
  }
  [[ -z $(ours) ]] || {
    echo "$name: left processes behind, which are ended"
    failed=1
    end_ours
  }
}

# The classes in DeviceTest.
families=(Apply DenseForward DualMoments EliminationScores MomentsByProducts Product Select Small SparseProduct)
kernels=("${families[@]/#/--select-class=dev.espalier.kernels.DeviceTest$}")

# Prints each test as it starts and ends. After a kernel has failed, the driver refuses all that its process asks for: so each
# selection has a process of its own. Skipped tests are no success here, where there is a GPU.
run_tests() { # the step, selections, -- java and its options
  local output=$folder/$1.txt selections=() selection before status=0
  shift
  while [[ $1 != -- ]]; do
    selections+=("$1")
    shift
  done
  shift
  for selection in "${selections[@]}"; do
    before=$(stat -c %s "$output")
    "$@" org.junit.platform.console.ConsoleLauncher execute --include-engine=junit-jupiter "$selection" --include-tag=gpu \
      --details=testfeed --disable-banner --disable-ansi-colors || status=1
    tail -c "+$((before + 1))" "$output" | grep -E '\[ +[1-9][0-9]* tests successful' >/dev/null || status=1
  done
  return "$status"
}

# The processes that use a GPU, as far as they can be seen. One that has just ended may need a moment.
users() {
  local found
  for _ in {1..20}; do
    found=$(nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv,noheader)
    [[ -n $found ]] || return
    sleep 0.5
  done
  echo "$found"
}

if ! limited smoke "${java[@]}" dev.espalier.bench.GpuKernels --tiny; then
  tail -n 1 "$folder/smoke.txt" >&2
  exit 1
fi
smi=$(command -v nvidia-smi || true)
[[ -z $smi ]] || step device "$smi" -q
step tests run_tests tests "${kernels[@]}" --select-class=dev.espalier.kernels.JCudaLoaderTest \
  --select-package=dev.espalier.engine -- "${java[@]}"
for tool in memcheck racecheck; do
  if [[ -z $sanitizer ]]; then
    echo "$tool: not run, compute-sanitizer was not found: install CUDA's toolkit or set ESPALIER_SANITIZER"
  else
    step "$tool" run_tests "$tool" "${kernels[@]}" -- "$sanitizer" --target-processes all --tool "$tool" --error-exitcode 9 \
      "${java[@]}" -Despalier.kernels.brief=true
  fi
done
# A step that has the GPU to itself, and its output.
timed() { # name command…
  local others=${smi:+$(users)}
  if [[ -n $others ]]; then
    printf '%s: NOT TIMED, other processes use the GPU:\n%s\n' "$1" "$others"
    failed=1
  else
    step "$@"
    cat "$folder/$1.txt"
  fi
}
for program in Kernels Scoring Overhead; do
  timed "${program,,}" "${java[@]}" "dev.espalier.bench.Gpu$program"
done
if [[ -z ${ESPALIER_BENCH:-} ]]; then
  echo 'race: not run, ESPALIER_BENCH is not set'
elif ! "${PYTHON:-python3}" -c 'import torch' 2>/dev/null; then
  echo "race: not run, ${PYTHON:-python3} has no PyTorch"
else
  timed race bash "$(dirname "$0")/peers/race.sh" 3 tf32 cuda
fi
exit "$failed"
