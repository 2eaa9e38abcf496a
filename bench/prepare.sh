# Builds the benchmarks, and sets $java and $classpath. A part of the scripts here, which run in the root folder.
program=$(basename "$0")
. cli/src/main/sh/jdk.sh
jdk=$(find_jdk)
java=$jdk/bin/java
echo "${program%.sh}: building with Maven what changed ..." >&2
JAVA25_HOME=$jdk mvn -q -B package dependency:build-classpath -DskipTests -pl bench -am \
  -Dmdep.outputFile=target/classpath -Dmdep.includeScope=runtime
classpath=bench/target/classes:$(cat bench/target/classpath)
