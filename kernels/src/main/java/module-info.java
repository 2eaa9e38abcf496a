/// CUDA kernels and their launchers.
@SuppressWarnings({"requires-automatic", "requires-transitive-automatic"}) // JCuda is not modular
module dev.espalier.kernels {
  requires dev.espalier.bindings;
  requires transitive jcuda; // a CUstream says where kernels run

  exports dev.espalier.kernels;
}
