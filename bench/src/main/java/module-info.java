/// JMH benchmarks.
@SuppressWarnings("requires-automatic") // JMH has no module descriptor
open module dev.espalier.bench {
  requires dev.espalier.engine;
  requires dev.espalier.kernels;
  requires jmh.core;
}
