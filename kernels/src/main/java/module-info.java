/// CUDA kernels and their launchers.
@SuppressWarnings({"requires-automatic"}) // JCuda is not modular
module dev.espalier.kernels {
  requires transitive dev.espalier.bindings;
  requires jcublas;
  requires jcuda;

  exports dev.espalier.kernels;
}
