#!/usr/bin/env bash
# Times Espalier and ONNX Runtime on the same ONNX models, in turns, and prints a row for each.
#   onnxruntime.sh [--rounds N] [--threads N] [--batch N,N] MODEL.onnx...
# Needs Maven, which fetches ONNX Runtime's jar as the tests do, and Python 3.
set -euo pipefail

rounds=3 threads=$(nproc) batch=1,32,1024 models=()
while (($#)); do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --threads) threads=$2; shift 2 ;;
    --batch) batch=$2; shift 2 ;;
    -*) models=(); break ;;
    *) models+=("$(realpath "$1")"); shift ;;
  esac
done
if ((!${#models[@]})); then
  echo 'usage: bench/peers/onnxruntime.sh [--rounds N] [--threads N] [--batch N,N] MODEL.onnx...' >&2
  exit 2
fi
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program=$(basename "$0")
. cli/src/main/sh/jdk.sh
jdk=$(find_jdk)
version=$(grep -A1 '<artifactId>onnxruntime</artifactId>' pom.xml | sed -n 's:.*<version>\(.*\)</version>.*:\1:p')
mvn -q dependency:copy -Dartifact="com.microsoft.onnxruntime:onnxruntime:$version" -DoutputDirectory="$work" -pl .
for ((round = 0; round < rounds; round++)); do
  ./espalier time "${models[@]}" --batch "$batch" --threads "$threads" --csv "$work/$round.csv" --quiet >/dev/null
  "$jdk/bin/java" --enable-native-access=ALL-UNNAMED -cp "$work/onnxruntime-$version.jar" bench/peers/OnnxRuntimeTimes.java \
    "$threads" "$batch" "${models[@]}" >"$work/$round.json"
done
python3 - "$work" "$rounds" "$version" <<'TABLE'
import csv, json, statistics, sys
work, rounds, version = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ours, theirs = {}, {}
for n in range(rounds):
    for row in csv.DictReader(open(f"{work}/{n}.csv")):
        if not row["model"].startswith("random "):
            ours.setdefault((row["model"], int(row["batch"])), {}).setdefault(row["variant"], []).append(float(row["seconds"]))
    for row in map(json.loads, open(f"{work}/{n}.json")):
        theirs.setdefault((row["model"], row["batch"]), []).append(row["seconds"])
print(f"Medians of {rounds} rounds, in milliseconds.\n\n| model | batch | ONNX Runtime {version} | dense | shrunk | csr |\n|---|---|---|---|---|---|")
for (model, batch), variants in ours.items():
    cells = [theirs[model, batch]] + [variants.get(name) for name in ("dense", "shrunk", "csr")]
    print(f"| {model} | {batch} | " + " | ".join(f"{1e3 * statistics.median(c):.4g}" if c else "" for c in cells) + " |")
TABLE
