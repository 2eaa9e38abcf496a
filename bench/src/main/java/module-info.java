/// JMH benchmarks.
@SuppressWarnings("requires-automatic") // JMH and JCuda have no module descriptor
open module dev.espalier.bench {
  requires dev.espalier.bindings;
  requires dev.espalier.engine;
  requires dev.espalier.kernels;
  requires jcuda;
  requires jmh.core;
}
