#!/usr/bin/env bash
# Runs the kernels' tests, on fewer shapes, under AddressSanitizer with UndefinedBehaviorSanitizer and, beside it, under
# ThreadSanitizer, which takes CUDA threads for threads. Not by Surefire, which starts java by a shell: dash dies under
# libtsan. Without g++ there is nothing to run.
# usage: sanitize.sh TARGET CLASSPATH
set -euo pipefail
target=$1 classpath=$2
here=$(cd "$(dirname "$0")" && pwd)
java=${TOOLCHAIN_JAVA_HOME:+$TOOLCHAIN_JAVA_HOME/bin/}java

tests() { # variant, the sanitizer's runtime, what is tested, names of its classes
  [[ -e $target/emulator-$1/libkernels.so ]] || return 0
  local out=$target/emulator-$1/$3.txt
  LD_PRELOAD=$target/emulator-$1/$2 "$java" --enable-native-access=ALL-UNNAMED \
    -Despalier.kernels.emulator="$target/emulator-$1/libkernels.so" -Despalier.kernels.brief=true \
    -classpath "$classpath" org.junit.platform.console.ConsoleLauncher execute --select-package=dev.espalier.kernels \
    --include-classname="$4" --details=summary --disable-banner --disable-ansi-colors >"$out" 2>&1 ||
    { cat "$out" >&2; return 1; }
  echo "kernels, $3: $(grep 'tests successful' "$out" | tr -d '[]' | xargs) under $2"
}

# The JVM catches its own segmentation faults, and keeps memory to its end.
export ASAN_OPTIONS=handle_segv=0:allow_user_segv_handler=1:detect_leaks=0
export TSAN_OPTIONS=handle_segv=0:allow_user_segv_handler=1:halt_on_error=1:suppressions=$here/thread-sanitizer.supp
products='.*Product(s|Kernel)Test' others='.*(?<!Product)Kernels?Test'
bash "$here/build.sh" "$target/emulator-address" address
bash "$here/build.sh" "$target/emulator-thread" thread
pids=()
tests thread libtsan.so products "$products" & pids+=($!)
tests thread libtsan.so others "$others" & pids+=($!)
tests address libasan.so all "$products|$others" & pids+=($!)
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit "$failed"
