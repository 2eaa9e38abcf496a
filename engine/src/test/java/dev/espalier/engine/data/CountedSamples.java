package dev.espalier.engine.data;

import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;

/// Another source, whose passes are counted.
public record CountedSamples(SampleSource source, AtomicInteger passes) implements ForwardingSamples {
  @Override
  public Pass open() throws IOException {
    passes.incrementAndGet();
    return source.open();
  }
}
