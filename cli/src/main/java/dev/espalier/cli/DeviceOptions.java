package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.BackendOptions;
import dev.espalier.engine.backend.CpuBackend;
import dev.espalier.engine.backend.Device;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.calibration.CalibrationSource;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.Verification;
import java.io.IOException;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.IntPredicate;
import picocli.CommandLine.Option;

/// Where a command computes.
class DeviceOptions {
  @Option(names = "--device", paramLabel = "DEVICE", order = 60, description = {
      "auto, cuda (an NVIDIA GPU; cuda:1 is the second), cpu, or reference: slow, in double precision, to check others"
          + " by (default: ${DEFAULT-VALUE})."})
  Device device = Device.AUTO;

  @Option(names = "--threads", paramLabel = "N", order = 61, converter = Values.AtLeastOne.class,
      description = {"Threads of the CPU; default: all cores that this process may use."})
  int threads = CpuBackend.availableThreads();

  @Option(names = "--precision", paramLabel = "PRECISION", order = 62, description = {
      "Of large products: fp32, tf32 on GPUs, or bf16 on GPUs and on CPUs that multiply bfloat16: less exact; default:"
          + " tf32 on a GPU, else fp32."})
  private Precision precision;

  @Option(names = "--device-memory", paramLabel = "SIZE", order = 63, converter = Values.Bytes.class,
      description = {"GPU memory to take at most, for example 20G or 512M; default: what is free, less a reserve."})
  private Long deviceMemory;

  @Option(names = "--verify", order = 66,
      description = {"Score a few layers and samples also on the reference, and show the largest deviations."})
  private boolean verify;

  /// Checks the backend if that is asked for, by the default scores.
  void verify(GlobalOptions global, Backend backend, DenseNetwork network, CalibrationSource samples)
      throws IOException {
    verify(global, backend, network, _ -> true, Optional.of(samples), PruningOptions.builder().build());
  }

  /// Checks the backend if that is asked for.
  ///
  /// @param wanted the layers, by number from 0, that may be looked at
  void verify(GlobalOptions global, Backend backend, DenseNetwork network, IntPredicate wanted,
      Optional<CalibrationSource> samples, PruningOptions options) throws IOException {
    if (!verify) {
      return;
    }
    Verification verification = Verification.of(backend, network, wanted, samples,
        new Pruner(backend, options).scoringOptions(network));
    Table table = new Table(1, "deviation from the reference", "importance", "compensation");
    verification.layers()
        .forEach(layer -> table.row(layer.name(), PLAIN.value(layer.importance()), PLAIN.value(layer.compensation())));
    global.out().println();
    table.lines().forEach(global.out()::println);
    global.out().println("Deviations are the largest on %s samples, as a fraction of the layer's largest value."
        .formatted(PLAIN.count(verification.samples())));
  }

  /// A backend, after saying which one and why.
  Backend open(GlobalOptions global) {
    Backend backend = device.open(new BackendOptions(threads, Optional.ofNullable(precision),
        deviceMemory == null ? OptionalLong.empty() : OptionalLong.of(deviceMemory)), global::say);
    global.say("device: %s, %s".formatted(backend.description(),
        device.equals(Device.AUTO) ? "picked by auto" : "as asked for"));
    return backend;
  }
}
