package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.cli.TimeResults.Row;
import dev.espalier.cli.TimeResults.Shapes;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.GpuBackend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.device.BackendOptions;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.experiment.InferenceTimes;
import dev.espalier.engine.experiment.InferenceTimes.Timed;
import dev.espalier.engine.experiment.InferenceTimes.Variant;
import dev.espalier.engine.experiment.Stopwatch.Times;
import dev.espalier.engine.io.AtomicOutput;
import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier time`.
@Command(name = "time", sortOptions = false)
final class TimeCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL", arity = "1..*")
  private List<Path> models;

  @Mixin
  private ModelOptions reading;

  @Option(names = "--batch", paramLabel = "N", split = ",", order = 10, converter = Values.AtLeastOne.class)
  private List<Integer> batches = List.of(1, 32, 1024);

  @Option(names = "--device", paramLabel = "DEVICE", order = 60)
  private Device device = Device.AUTO;

  @Option(names = "--threads", paramLabel = "N", order = 61, converter = Values.AtLeastOne.class)
  private int threads = BackendOptions.availableThreads();

  @ArgGroup(validate = false, order = 8, headingKey = "output.heading")
  private Output output = new Output();

  private static final class Output {
    @Option(names = "--csv", paramLabel = "FILE", order = 81)
    private Path csv;

    @Option(names = "--report", paramLabel = "DIR", order = 82)
    private Path folder;

    @Option(names = {"-f", "--force"}, order = 83)
    private boolean force;
  }

  /// By number, the models with a note on outputs that were not compared.
  private final Set<Integer> uncompared = new HashSet<>();

  @Override
  public Integer call() throws IOException {
    global.require(batches.stream().distinct().count() == batches.size(), "--batch: give each size once");
    boolean isOnGpu = device.kind() == Device.Kind.CUDA && device.numbers().size() == 1;
    global.require(isOnGpu || device.equals(Device.AUTO) || device.equals(Device.CPU),
        "--device: time is measured on cpu, or on one GPU: cuda, cuda:1");
    check();
    try (Arena arena = Arena.ofShared()) {
      List<DenseNetwork> networks = new ArrayList<>();
      for (Path model : models) {
        ModelFile file = reading.load(model, Optional.empty(), global, arena);
        networks.add(file.network());
        if (isOnGpu && !file.network().graph().isChain()) {
          global.note(
              "%s: %s is not timed, because the network is no chain of layers".formatted(model, Variant.TWO_OF_FOUR));
        }
      }
      if (isOnGpu) {
        try (GpuBackend plain = device.openGpu(options(Precision.TF32));
            GpuBackend bfloat16 = device.openGpu(options(Precision.BF16))) {
          measure(plain.description() + "; bf16: " + bfloat16.description(), new InferenceTimes(plain, bfloat16), true,
              networks);
        }
      } else {
        try (Backend cpu = Device.CPU.open(new BackendOptions(threads, Optional.empty(), OptionalLong.empty()),
            global::say)) {
          measure(cpu.description(), new InferenceTimes(cpu), false, networks);
        }
      }
    }
    return 0;
  }

  private static BackendOptions options(Precision precision) {
    return new BackendOptions(BackendOptions.availableThreads(), Optional.of(precision), OptionalLong.empty());
  }

  private void measure(String description, InferenceTimes times, boolean isOnGpu, List<DenseNetwork> networks)
      throws IOException {
    global.say("device: " + description);
    TimeResults results = measure(times, isOnGpu, networks);
    results.print(global.out());
    write(results, description);
  }

  private void check() throws IOException {
    if (output.csv != null) {
      OutputOptions.check(global, "--csv", output.csv, output.force, models.toArray(Path[]::new));
    }
    if (output.folder != null) {
      try (AtomicOutputs tried = new AtomicOutputs()) {
        tried.createFolder(output.folder);
        AtomicOutput.check(output.folder.resolve(TimeResults.PAGE), output.force);
      }
    }
  }

  private TimeResults measure(InferenceTimes times, boolean isOnGpu, List<DenseNetwork> networks) {
    List<Row> rows = new ArrayList<>();
    List<Shapes> shapes = new ArrayList<>();
    for (int batch : batches) {
      global.say("timing batches of " + PLAIN.count(batch));
      try {
        measure(times, isOnGpu, networks, batch, rows, shapes);
      } catch (OutOfMemoryError | OutOfBackendMemoryException e) {
        throw new IllegalArgumentException(
            "batches of %s do not fit into memory; give smaller ones by --batch".formatted(PLAIN.count(batch)), e);
      }
    }
    return new TimeResults(rows, shapes);
  }

  private void measure(InferenceTimes times, boolean isOnGpu, List<DenseNetwork> networks, int batch, List<Row> rows,
      List<Shapes> shapes) {
    List<Timed> measured = times.of(networks, batch);
    Set<String> seen = new HashSet<>();
    for (int m = 0; m < networks.size(); m++) {
      DenseNetwork network = networks.get(m);
      Map<Variant, Times> found = measured.get(m).times();
      note(m, measured.get(m).overflown(), (long) batch * network.outputs());
      String widths = TimeResults.widths(network);
      rows.add(new Row(name(models.get(m)), widths, network.sparsity(), batch, found));
      if (found.containsKey(Variant.CSR) && seen.add(widths)) {
        shapes.add(new Shapes(widths, batch, times.ofRandomZeros(network, batch)));
      } else if (isOnGpu && network.graph().isChain() && !found.containsKey(Variant.TWO_OF_FOUR) && seen.add(widths)) {
        rows.add(new Row("random 2:4 " + widths, widths, 0.5, batch, times.ofRandomTwoOfFour(network, batch)));
      }
    }
  }

  /// Says once of a model that its outputs are not compared where they overflow.
  private void note(int model, long overflown, long outputs) {
    if (overflown > 0 && uncompared.add(model)) {
      global.note("%s: %s".formatted(models.get(model),
          overflown == outputs
              ? "no output of random samples is finite: its variants are timed, and not compared"
              : "some outputs of random samples are not finite: only the others are compared between its variants"));
    }
  }

  /// The name of the file, if no other model's is the same.
  private String name(Path model) {
    Path name = model.getFileName();
    return models.stream().filter(other -> other.getFileName().equals(name)).count() == 1
        ? name.toString()
        : model.toString();
  }

  private void write(TimeResults results, String description) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      if (output.csv != null) {
        outputs.write(output.csv, output.force, AtomicOutput.text(results.csv().toString()));
      }
      if (output.folder != null) {
        List<String> provenance = List.of(
            "Espalier %s, %s".formatted(Espalier.version(), LocalDate.now(ZoneOffset.UTC)),
            "Machine: %s; %s".formatted(Machine.cpu(), description), "Java: " + Machine.java());
        outputs.createFolder(output.folder);
        for (Map.Entry<String, String> file : results.page(provenance).entrySet()) {
          outputs.write(output.folder.resolve(file.getKey()), output.force, AtomicOutput.text(file.getValue()));
        }
      }
      outputs.commit();
    }
    if (output.folder != null) {
      global.say("report: " + output.folder.resolve(TimeResults.PAGE));
    }
  }
}
