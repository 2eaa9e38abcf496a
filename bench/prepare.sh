# Builds the benchmarks, and sets $java and $classpath. A part of the scripts here, which run in the root folder.
program=$(basename "$0")
. cli/src/main/sh/jdk.sh
. cli/src/main/sh/build.sh
jdk=$(find_jdk)
java=$jdk/bin/java
begin_build .
echo "$program: building with Maven what changed ..." >&2
# shellcheck disable=SC2086,SC2154 # one option or none, set by begin_build
JAVA25_HOME=$jdk mvn -q -B package dependency:build-classpath $kernels -Dmaven.test.skip -Dspotless.check.skip -pl bench -am \
  -Dmdep.outputFile=target/classpath -Dmdep.includeScope=runtime
end_build
classpath=bench/target/classes:$(cat bench/target/classpath)
