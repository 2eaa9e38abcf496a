package dev.espalier.engine.backend;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

final class ResourcesTest {
  private final List<String> closed = new ArrayList<>();

  private Resource resource(String name) {
    return () -> closed.add(name);
  }

  private Resource failing(String name, RuntimeException failure) {
    return () -> {
      closed.add(name);
      throw failure;
    };
  }

  @Test
  void closesTheNewestFirstAndOnce() {
    Resources resources = new Resources();
    Resource first = resource("first");
    assertSame(first, resources.own(first));
    resources.own(resource("second"));
    assertEquals(List.of(), closed);
    resources.close();
    assertEquals(List.of("second", "first"), closed);
    resources.close();
    assertEquals(List.of("second", "first"), closed);
  }

  @Test
  void goesOnAfterAFailureAndSuppressesTheLaterOnes() {
    RuntimeException first = new IllegalStateException("first");
    RuntimeException second = new IllegalStateException("second");
    RuntimeException third = new IllegalStateException("third");
    Resources resources = new Resources();
    resources.own(resource("d"));
    resources.own(failing("c", third));
    resources.own(failing("b", second));
    resources.own(failing("a", first));
    assertSame(first, assertThrows(IllegalStateException.class, resources::close));
    assertArrayEquals(new Throwable[]{second, third}, first.getSuppressed());
    assertEquals(List.of("a", "b", "c", "d"), closed);
    resources.close();
    assertEquals(4, closed.size());
  }

  @Test
  void addsFailuresToAnEarlierOne() {
    RuntimeException first = new IllegalStateException("first");
    RuntimeException second = new IllegalStateException("second");
    Throwable earlier = new AssertionError("earlier");
    Resources resources = new Resources();
    resources.own(failing("b", second));
    resources.own(failing("a", first));
    resources.closeAfter(earlier);
    assertArrayEquals(new Throwable[]{first}, earlier.getSuppressed());
    assertArrayEquals(new Throwable[]{second}, first.getSuppressed());
    Throwable other = new AssertionError("other");
    resources.closeAfter(other);
    assertEquals(0, other.getSuppressed().length);
  }

  /// What owners in this project look like.
  private record Owner(Resources resources) implements Resource {
    @Override
    public void close() {
      resources.close();
    }
  }

  @Test
  void leavesResourcesToTheOwnerThatIsBuilt() {
    Owner owner = Resources.build(resources -> {
      resources.own(resource("first"));
      resources.own(resource("second"));
      return new Owner(resources);
    });
    assertEquals(List.of(), closed);
    owner.close();
    assertEquals(List.of("second", "first"), closed);
  }

  @Test
  void closesWhatIsOwnedIfBuildingFails() {
    RuntimeException failure = new IllegalStateException("building");
    RuntimeException second = new IllegalStateException("closing");
    assertSame(failure, assertThrows(IllegalStateException.class, () -> Resources.build(resources -> {
      resources.own(resource("first"));
      resources.own(failing("second", second));
      throw failure;
    })));
    assertEquals(List.of("second", "first"), closed);
    assertArrayEquals(new Throwable[]{second}, failure.getSuppressed());
  }

  @Test
  void closesWhatIsOwnedIfBuildingFailsWithAnError() {
    Error failure = new OutOfMemoryError("of a test");
    assertSame(failure, assertThrows(OutOfMemoryError.class, () -> Resources.build(resources -> {
      resources.own(resource("first"));
      throw failure;
    })));
    assertEquals(List.of("first"), closed);
  }
}
