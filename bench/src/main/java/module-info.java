/// JMH benchmarks.
@SuppressWarnings("requires-automatic") // JMH has no module descriptor
open module dev.espalier.bench {
  requires dev.espalier.engine;
  requires jmh.core;
}
