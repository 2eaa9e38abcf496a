package dev.espalier.engine.data;

import java.util.List;

/// A source that is made of another one, and is described as it unless it says otherwise.
public interface ForwardingSamples extends SampleSource {
  /// The other source.
  SampleSource source();

  @Override
  default String name() {
    return source().name();
  }

  @Override
  default long samples() {
    return source().samples();
  }

  @Override
  default int width() {
    return source().width();
  }

  @Override
  default boolean isThreadConfined() {
    return source().isThreadConfined();
  }

  @Override
  default List<SourceNote> notes() {
    return source().notes();
  }

  @Override
  default long first() {
    return source().first();
  }
}
