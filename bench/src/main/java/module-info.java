/// JMH benchmarks.
module dev.espalier.bench {
  requires dev.espalier.engine;
}
