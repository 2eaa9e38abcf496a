# Finds the JDK. A part of the launcher and of the scripts that start Java, which may set $program, their name.

needed=25

fail() {
  printf '%s: %s\n' "${program:-espalier}" "$1" >&2
  exit 1
}

# Whether folder $1 holds a JDK that is new enough.
suits() {
  [ -x "$1/bin/java" ] && [ -x "$1/bin/javac" ] || return 1
  if [ -r "$1/release" ]; then
    major=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$1/release")
  else
    major=$("$1/bin/java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
  fi
  [ "${major:-0}" -ge "$needed" ]
}

# Prints the folder of a JDK that is new enough.
find_jdk() {
  if [ -n "${ESPALIER_JAVA_HOME:-}" ]; then
    suits "$ESPALIER_JAVA_HOME" || fail "ESPALIER_JAVA_HOME=$ESPALIER_JAVA_HOME holds no JDK $needed or newer: correct or unset it"
    printf '%s\n' "$ESPALIER_JAVA_HOME"
    return
  fi
  on_path=$(command -v java || true)
  if [ -n "$on_path" ]; then
    on_path=$(dirname "$(dirname "$(readlink -f "$on_path")")")
  fi
  for jdk in "${JAVA_HOME:-}" "$on_path" /usr/lib/jvm/* /usr/lib64/jvm/* /usr/java/* /usr/local/lib/jvm/* /opt/* \
    /opt/java/* "${HOME:-/}"/.sdkman/candidates/java/* "${HOME:-/}"/.jdks/* /opt/homebrew/opt/openjdk* \
    /usr/local/opt/openjdk* /Library/Java/JavaVirtualMachines/* "${HOME:-/}"/Library/Java/JavaVirtualMachines/*; do
    if [ -d "$jdk/Contents/Home" ]; then
      jdk=$jdk/Contents/Home
    elif [ -d "$jdk/libexec/openjdk.jdk/Contents/Home" ]; then
      jdk=$jdk/libexec/openjdk.jdk/Contents/Home
    fi
    if [ -n "$jdk" ] && suits "$jdk"; then
      printf '%s\n' "$jdk"
      return
    fi
  done
  if [ -x /usr/libexec/java_home ]; then
    jdk=$(/usr/libexec/java_home -v "$needed+" 2>/dev/null || true)
    if [ -n "$jdk" ] && suits "$jdk"; then
      printf '%s\n' "$jdk"
      return
    fi
  fi
  fail "no JDK $needed or newer was found: install one, for example Temurin $needed, or set ESPALIER_JAVA_HOME to its folder"
}
