/// The pruning library.
module dev.espalier.engine {
  requires transitive dev.espalier.bindings;
  requires dev.espalier.kernels;
}
