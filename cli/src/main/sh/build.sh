# Builds one at a time. A part of the launcher and of the scripts that build from the source folder.

# Whether NVIDIA's driver is here.
has_driver() {
  [ -e /dev/nvidiactl ] || PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'
}

# Whether CUDA kernels can be built in folder $1 and run: NVIDIA's driver and an nvcc for them are here. Sets $problem to
# what is wrong with the nvcc beside a driver.
has_cuda() {
  problem=''
  command -v nvcc >/dev/null && has_driver || return 1
  # shellcheck source=kernels/src/main/cuda/nvcc.sh
  . "$1/kernels/src/main/cuda/nvcc.sh"
  problem=$(nvcc_problem)
  [ -z "$problem" ]
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
  if has_cuda "$1"; then
    kernels=''
  elif [ -n "$problem" ]; then
    printf '%s: %s: building without GPU kernels\n' "${program:-espalier}" "$problem" >&2
  fi
}

end_build() {
  exec 9>&-
}
