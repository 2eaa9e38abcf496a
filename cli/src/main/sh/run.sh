# Runs the command line. A part of its launchers, which set $java, the program, and $module_path.

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

# shellcheck disable=SC2086,SC2154 # the options are words; the launcher sets the rest
exec "$java" -XX:+UseParallelGC -XX:MaxRAMPercentage=70 -Xshare:auto \
  "-Despalier.columns=$columns" --module-path "$module_path" --enable-native-access=dev.espalier.bindings,jcuda,jcublas \
  ${ESPALIER_JAVA_OPTIONS:-} -m dev.espalier.cli/dev.espalier.cli.Espalier "$@"
