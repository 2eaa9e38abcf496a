package dev.espalier.spark;

import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.device.BackendOptions;
import dev.espalier.engine.device.Device;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.apache.spark.TaskContext;
import org.apache.spark.resource.ResourceInformation;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The backends of a process, opened when a task first needs one, and kept until the process ends: as many as tasks run at
/// once, each on the GPUs that Spark gives the task, or on as many threads as it has CPUs.
final class ExecutorBackends {
  private static final Logger LOG = LoggerFactory.getLogger(ExecutorBackends.class);
  private static final String GPU = "gpu";
  private static final Map<Place, Deque<Backend>> IDLE = new HashMap<>();

  /// @param threads of a CPU
  private record Place(Device device, int threads) {}

  /// A backend that a task uses alone until it closes this. If the task fails, nobody uses it again.
  static final class Lease implements AutoCloseable {
    private final Place place;
    private final Backend backend;
    private boolean isDone;

    private Lease(Place place, Backend backend) {
      this.place = place;
      this.backend = backend;
    }

    Backend backend() {
      return backend;
    }

    /// The task has ended well.
    void done() {
      isDone = true;
    }

    @Override
    public void close() {
      if (isDone) {
        synchronized (IDLE) {
          IDLE.get(place).push(backend);
        }
      } else {
        backend.close();
      }
    }
  }

  private ExecutorBackends() {}

  /// A backend for a task.
  ///
  /// @param asked auto: the GPUs that Spark gave the task, else the CPU
  static Lease lease(Device asked, TaskContext task) {
    Place place = new Place(device(asked, gpu(task)), Math.max(1, task.cpus()));
    Backend backend;
    synchronized (IDLE) {
      backend = IDLE.computeIfAbsent(place, _ -> new ArrayDeque<>()).poll();
    }
    return new Lease(place, backend == null ? open(place, asked) : backend);
  }

  /// Whether tasks compute on GPUs, as a driver without one knows it.
  ///
  /// @param perTask GPUs, or the part of one, that Spark gives each task
  static boolean areGpus(Device asked, double perTask) {
    return asked.kind() == Device.Kind.CUDA || (asked.kind() == Device.Kind.AUTO && perTask > 0);
  }

  private static Optional<String> gpu(TaskContext task) {
    ResourceInformation given = task.resourcesJMap().get(GPU);
    return given == null || given.addresses().length == 0
        ? Optional.empty()
        : Optional.of(String.join(",", given.addresses()));
  }

  /// @param gpu its number, or those of several, with commas
  /// @throws MismatchException if a GPU is asked for and Spark gave none, or one without a number
  static Device device(Device asked, Optional<String> gpu) {
    return switch (asked.kind()) {
      case CPU, REFERENCE -> asked;
      case AUTO -> gpu.map(ExecutorBackends::gpu).orElse(Device.CPU);
      case CUDA -> gpu.map(ExecutorBackends::gpu)
          .orElseThrow(() -> new MismatchException(
              "Spark gives tasks no GPU: set spark.executor.resource.gpu.amount and spark.task.resource.gpu.amount, "
                  + "or use the device cpu"));
    };
  }

  /// @throws MismatchException if GPUs are named, which Spark chooses
  static void requireUnnumbered(Device asked) {
    if (asked.kind() == Device.Kind.CUDA && !asked.equals(Device.CUDA)) {
      throw new MismatchException(
          "device %s: Spark chooses the GPUs of a task, as spark.task.resource.gpu.amount says: use cuda"
              .formatted(asked));
    }
  }

  private static Device gpu(String address) {
    try {
      return Device.parse("cuda:" + address);
    } catch (IllegalArgumentException _) {
      throw new MismatchException(
          "Spark gives a task the GPU '%s', and a number is needed, as nvidia-smi lists them".formatted(address));
    }
  }

  private static Backend open(Place place, Device asked) {
    BackendOptions options = new BackendOptions(place.threads, Optional.empty(), OptionalLong.empty());
    try {
      return place.device.open(options, LOG::warn);
    } catch (DeviceUnavailableException e) {
      if (asked.kind() != Device.Kind.AUTO || place.device.kind() != Device.Kind.CPU) {
        throw e;
      }
      LOG.warn("device auto: reference, slow but right: {}", e.getMessage());
      return Device.REFERENCE.open(options, LOG::warn);
    }
  }
}
