/// CUDA kernels and their launchers.
@SuppressWarnings({"requires-automatic"}) // JCuda is not modular
module dev.espalier.kernels {
  requires dev.espalier.bindings;
  requires jcuda;

  exports dev.espalier.kernels;
}
