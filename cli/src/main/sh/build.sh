# Builds one at a time. A part of the launcher and of the scripts that build from the source folder.

# Whether CUDA kernels can be built and run: nvcc and NVIDIA's driver are here.
has_cuda() {
  command -v nvcc >/dev/null || return 1
  [ -e /dev/nvidiactl ] || PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'
}

# Locks file descriptor 9 until this process and those that it starts have closed it; with -n, fails where it would wait.
# macOS has no flock, but Perl.
lock() {
  if command -v flock >/dev/null; then
    flock "$@" 9
  elif command -v perl >/dev/null; then
    perl -MFcntl=:flock -e 'open my $lock, ">&=9" or die; exit !flock $lock, LOCK_EX | (@ARGV && LOCK_NB)' -- "$@"
  fi
}

# Waits until no other script builds in folder $1, and keeps others from building there until end_build. Sets $kernels to
# the option for Maven that leaves the CUDA kernels out, which take nvcc minutes on two cores, where nothing could run them.
begin_build() {
  mkdir -p "$1/cli/target"
  exec 9>"$1/cli/target/.lock"
  lock -n || {
    printf '%s: waiting for another build ...\n' "${program:-espalier}" >&2
    lock
  }
  kernels=-Dexec.skip
  if has_cuda; then
    kernels=''
  fi
}

end_build() {
  exec 9>&-
}
