package dev.espalier.engine.data;

import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;

/// Another source, whose passes are counted.
public record CountedSamples(SampleSource source, AtomicInteger passes) implements SampleSource {
  @Override
  public String name() {
    return source.name();
  }

  @Override
  public long samples() {
    return source.samples();
  }

  @Override
  public int width() {
    return source.width();
  }

  @Override
  public boolean isThreadConfined() {
    return source.isThreadConfined();
  }

  @Override
  public Pass open() throws IOException {
    passes.incrementAndGet();
    return source.open();
  }
}
