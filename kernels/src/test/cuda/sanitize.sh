#!/usr/bin/env bash
# Runs the kernels' tests, on fewer shapes, under AddressSanitizer with UndefinedBehaviorSanitizer and, beside it, under
# ThreadSanitizer, which takes CUDA threads for threads. Not by Surefire, which starts java by a shell: dash dies under
# libtsan. Without g++ there is nothing to run.
# usage: sanitize.sh TARGET CLASSPATH
set -euo pipefail
target=$1 classpath=$2
here=$(cd "$(dirname "$0")" && pwd)
java=${TOOLCHAIN_JAVA_HOME:+$TOOLCHAIN_JAVA_HOME/bin/}java

tests() { # variant, the sanitizer's runtime
  [[ -e $target/emulator-$1/libkernels.so ]] || return 0
  LD_PRELOAD=$target/emulator-$1/$2 "$java" --enable-native-access=ALL-UNNAMED \
    -Despalier.kernels.emulator="$target/emulator-$1/libkernels.so" -Despalier.kernels.brief=true \
    -classpath "$classpath" org.junit.platform.console.ConsoleLauncher execute --select-package=dev.espalier.kernels \
    --include-classname='.*KernelTest|.*KernelsTest|.*ByProductsTest' --details=summary --disable-banner --disable-ansi-colors \
    >"$target/emulator-$1/tests.txt" 2>&1 || { cat "$target/emulator-$1/tests.txt" >&2; return 1; }
  echo "kernels: $(grep 'tests successful' "$target/emulator-$1/tests.txt" | tr -d '[]' | xargs) under $2"
}

# The JVM catches its own segmentation faults, and keeps memory to its end.
export ASAN_OPTIONS=handle_segv=0:allow_user_segv_handler=1:detect_leaks=0
export TSAN_OPTIONS=handle_segv=0:allow_user_segv_handler=1:halt_on_error=1:suppressions=$here/thread-sanitizer.supp
bash "$here/build.sh" "$target/emulator-address" address
tests address libasan.so & address=$!
bash "$here/build.sh" "$target/emulator-thread" thread
failed=0
tests thread libtsan.so || failed=1
wait "$address" || failed=1
exit "$failed"
