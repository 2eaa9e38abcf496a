package dev.espalier.engine.backend.cuda;

import dev.espalier.kernels.DeviceMemoryException;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.GpuException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.Optional;
import java.util.Set;

/// A driver of which some calls fail, with its events and graphs. A call that fails does nothing, but one that gives
/// something back, waits or ends a recording has done so.
final class FailingDriver {
  private static final Set<String> ANSWERS = Set.of("name", "computeCapability", "multiprocessors", "totalMemory");
  private static final Set<String> DONE = Set.of("free", "close", "synchronize", "endRecording");

  private final Driver driver;
  private final long firstFailure;
  private final long lastFailure;
  /// The real event or graph of each that was not closed.
  private final IdentityHashMap<Object, Object> open = new IdentityHashMap<>();
  private long calls;
  private Optional<String> failed = Optional.empty();

  /// @param firstFailure the number of the first call that fails, from 1
  /// @param lastFailure the number of the last one
  FailingDriver(Driver driver, long firstFailure, long lastFailure) {
    this.driver = driver;
    this.firstFailure = firstFailure;
    this.lastFailure = lastFailure;
  }

  Driver asDriver() {
    return proxy(Driver.class, driver);
  }

  /// The first function that failed.
  Optional<String> failed() {
    return failed;
  }

  /// Events and graphs that were not closed.
  int open() {
    return open.size();
  }

  private <T> T proxy(Class<T> type, Object target) {
    return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[]{type},
        (proxy, method, arguments) -> call(proxy, target, method, arguments)));
  }

  private Object call(Object proxy, Object target, Method method, Object... arguments) throws Throwable {
    String name = method.getName();
    if (ANSWERS.contains(name)) {
      return method.invoke(target, arguments);
    }
    calls++;
    boolean fails = calls >= firstFailure && calls <= lastFailure;
    if (fails && !DONE.contains(name)) {
      throw failure(name);
    }
    if (name.equals("close") && !(target instanceof Driver) && open.remove(proxy) == null) {
      throw new AssertionError(target + " is closed twice");
    }
    Object result = invoke(target, method, arguments);
    if (fails) {
      throw failure(name);
    }
    return switch (result) {
      case Driver.Event event -> opened(Driver.Event.class, event);
      case Driver.Graph graph -> opened(Driver.Graph.class, graph);
      case null, default -> result;
    };
  }

  private <T> T opened(Class<T> type, T real) {
    T proxy = proxy(type, real);
    open.put(proxy, real);
    return proxy;
  }

  private Object invoke(Object target, Method method, Object... arguments) throws Throwable {
    Object[] real = arguments == null ? null : Arrays.stream(arguments).map(a -> open.getOrDefault(a, a)).toArray();
    try {
      return method.invoke(target, real);
    } catch (InvocationTargetException e) {
      throw e.getCause();
    }
  }

  private GpuException failure(String name) {
    failed = failed.or(() -> Optional.of(name));
    String message = "call %d, %s, failed".formatted(calls, name);
    return name.startsWith("allocate") ? new DeviceMemoryException(message) : new GpuException(message);
  }
}
