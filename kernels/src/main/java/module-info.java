/// CUDA kernels and their launchers.
module dev.espalier.kernels {
  requires dev.espalier.bindings;
}
