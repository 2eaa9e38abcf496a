package dev.espalier.engine.backend;

import java.util.ArrayDeque;
import java.util.Deque;

/// Resources that are closed together, the newest first: for an owner of several, whose constructor may
/// fail halfway.
public final class Resources implements Resource {
  private final Deque<Resource> owned = new ArrayDeque<>();

  /// Owns nothing yet.
  public Resources() {}

  /// Takes over `resource` and returns it.
  public <T extends Resource> T own(T resource) {
    owned.push(resource);
    return resource;
  }

  @Override
  public void close() {
    while (!owned.isEmpty()) {
      owned.pop().close();
    }
  }
}
