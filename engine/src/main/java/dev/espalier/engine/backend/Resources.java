package dev.espalier.engine.backend;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.function.Function;

/// Resources that are closed together, the newest first.
public final class Resources implements Resource {
  private final Deque<Resource> owned = new ArrayDeque<>();

  /// Owns nothing yet.
  public Resources() {}

  /// Builds the owner of several resources, and closes those that it has taken over so far if building it fails.
  ///
  /// @param build takes over what it acquires by [#own], and leaves these resources to the owner that it returns
  public static <T> T build(Function<Resources, T> build) {
    Resources resources = new Resources();
    try {
      return build.apply(resources);
    } catch (RuntimeException | Error e) {
      resources.closeAfter(e);
      throw e;
    }
  }

  /// Takes over `resource` and returns it.
  public <T extends Resource> T own(T resource) {
    owned.push(resource);
    return resource;
  }

  /// Closes all, and adds what goes wrong with that to a failure.
  public void closeAfter(Throwable failure) {
    try {
      close();
    } catch (RuntimeException e) {
      failure.addSuppressed(e);
    }
  }

  /// Closes all, goes on after a failure, and throws the first one with the later ones suppressed.
  @Override
  public void close() {
    RuntimeException first = null;
    while (!owned.isEmpty()) {
      try {
        owned.pop().close();
      } catch (RuntimeException e) {
        if (first == null) {
          first = e;
        } else {
          first.addSuppressed(e);
        }
      }
    }
    if (first != null) {
      throw first;
    }
  }
}
