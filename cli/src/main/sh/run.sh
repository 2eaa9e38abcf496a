# Runs the command line. A part of its launchers, which set $java, the program, $module_path, and $cache, where there is an
# AOT cache.

# Java cannot find out whether stderr is a terminal, nor how wide it is.
columns=0
if [ -t 2 ]; then
  columns=$(stty size <&2 2>/dev/null | cut -d ' ' -f 2)
  [ "${columns:-0}" -gt 0 ] || columns=80
fi
# Names of files may hold any letters, also where no locale is set, or one that is not installed.
case $(locale charmap 2>/dev/null || true) in
  '' | ANSI_X3.4-1968 | US-ASCII) export LC_ALL=C.UTF-8 ;;
esac

# Runs Java with option $1 and the arguments that follow.
run() {
  option=$1
  shift
  # shellcheck disable=SC2086,SC2154 # the options are words; the launcher sets the rest
  $exec "$java" -XX:+UseParallelGC -XX:MaxRAMPercentage=70 "$option" \
    "-Despalier.columns=$columns" --module-path "$module_path" \
    --enable-native-access=dev.espalier.bindings,jcuda,jcublas,dev.hardwood.core,snappy.java \
    ${ESPALIER_JAVA_OPTIONS:-} -m dev.espalier.cli/dev.espalier.cli.Espalier "$@"
}
exec=''

# Replaces the shell by Java. A cache that does not fit, to this JDK, its options or the jars, is ignored without a word.
start() {
  exec=exec
  case ${ESPALIER_JAVA_OPTIONS:-} in
    *-Xshare* | *-XX:AOT* | *-XX:SharedArchiveFile* | *-Xlog*) set -- -Xshare:auto "$@" ;;
    *)
      if [ -r "${cache:-}" ] && [ -s "$cache" ]; then
        set -- "-XX:AOTCache=$cache" "$@"
        ESPALIER_JAVA_OPTIONS="-Xlog:aot=off,cds=off ${ESPALIER_JAVA_OPTIONS:-}"
      else
        set -- -Xshare:auto "$@"
      fi
      ;;
  esac
  run "$@"
}
