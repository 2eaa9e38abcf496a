# The nvcc that builds the kernels. A part of build.sh, of the launcher and of the scripts that build from the source folder.

# Prints the CUDA version of nvcc, such as 13.0.
nvcc_release() {
  nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9]*\.[0-9]*\).*/\1/p'
}

# Prints why nvcc cannot build the kernels; nothing if it can. CUDA 12.8 is the first that knows compute capabilities 10.0
# and 12.0.
nvcc_problem() {
  if ! command -v nvcc >/dev/null; then
    echo 'no nvcc found'
    return
  fi
  release=$(nvcc_release || true)
  major=${release%%.*} minor=${release#*.}
  if [ "${major:-0}" -lt 12 ] || { [ "$major" -eq 12 ] && [ "$minor" -lt 8 ]; }; then
    echo "nvcc is of ${release:+CUDA }${release:-an unknown release}, CUDA 12.8 or later is needed"
  fi
}
