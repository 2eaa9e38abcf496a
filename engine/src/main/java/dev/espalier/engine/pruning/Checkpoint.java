package dev.espalier.engine.pruning;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.DType;
import dev.espalier.engine.io.FormatException;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsFile;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.io.Tensor;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.LayerPattern;
import dev.espalier.engine.method.Limits;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.statistics.Histogram;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntPredicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.json.JsonMapper;

/// The rounds of a pruning in a folder, from which an equal pruning goes on after any end, and comes to the same bits.
///
/// Each round is a safetensors file, `round-N.safetensors`, that appears whole or not at all: the weights and biases, and
/// in the metadata the [PruningProgress], what identifies the pruning, and a checksum. The last round stays, and those
/// where a path stops. Between two rounds, the network is rounded to float32, as the file is. A search keeps its attempts
/// in the same way, each with a log of all attempts so far.
public final class Checkpoint {
  private static final String FORMAT = "espalier-checkpoint-3";
  private static final String IDENTITY = "of ";
  private static final String HELD_OUT = "held-out data";
  private static final String LIMIT = "limit";
  private static final Pattern FILE = Pattern.compile("round-(\\d{1,9})\\.safetensors");
  private static final JsonMapper JSON = new JsonMapper();

  private final Path folder;
  private final DenseNetwork network;
  private final Map<String, String> identity;
  private final List<Integer> stops;
  private final int rounds;

  private Checkpoint(Path folder, DenseNetwork network, Map<String, String> identity, List<Integer> stops, int rounds) {
    this.folder = folder;
    this.network = network;
    this.identity = identity;
    this.stops = stops;
    this.rounds = rounds;
  }

  /// The checkpoint of a pruning, which is made if there is none.
  ///
  /// @param plan of `network` with `data` on `backend`
  /// @throws MismatchException if the folder has rounds of a pruning of another network, other data or other options, on
  ///                           another machine, or by another version; the message says which
  /// @throws IOException if the folder cannot be made or read, or a file in it is damaged
  public static Checkpoint open(Path folder, PruningPlan plan, Backend backend, DenseNetwork network,
      Optional<Dataset> data) throws IOException {
    return open(folder, plan, backend, network, Map.of("data", hash(data)));
  }

  /// As the other, of a search.
  ///
  /// @param heldOut samples that judge
  /// @param limits that they hold the network to
  /// @param loss by which they judge
  /// @param head the one of several outputs by which they do, if that is not all
  public static Checkpoint open(Path folder, PruningPlan plan, Backend backend, DenseNetwork network,
      Optional<Dataset> data, Dataset heldOut, Limits limits, Optional<Loss> loss, Optional<String> head)
      throws IOException {
    Map<String, String> hashes = new LinkedHashMap<>();
    hashes.put("data", hash(data));
    hashes.put(HELD_OUT, Fingerprint.of(heldOut));
    head.ifPresent(output -> hashes.put("judging output", output));
    return open(folder, plan, backend, network, hashes, limits, loss);
  }

  /// As the other, of samples that are elsewhere.
  ///
  /// @param data as of a pruning by such samples, and the samples that judge
  public static Checkpoint open(Path folder, PruningPlan plan, Backend backend, DenseNetwork network,
      Map<String, String> data, Limits limits, Optional<Loss> loss) throws IOException {
    Map<String, String> all = new LinkedHashMap<>();
    all.put(LIMIT, limits.toString());
    all.put("judging loss", loss.map(Loss::toString).orElse("none"));
    all.putAll(data);
    return open(folder, plan, backend, network, all);
  }

  /// As the other, of samples that are elsewhere: those of a cluster, whose rounds are [saved][#save] and
  /// [loaded][#load] by the caller.
  ///
  /// @param data what tells the data, and the way in which they are read, from others; `data` is a hash of all samples
  public static Checkpoint open(Path folder, PruningPlan plan, Backend backend, DenseNetwork network,
      Map<String, String> data) throws IOException {
    if (Files.exists(folder) && !Files.isDirectory(folder)) {
      throw new IOException(folder + ": is no folder; choose another one for checkpoints");
    }
    Files.createDirectories(folder);
    int last = files(folder).stream().mapToInt(Checkpoint::number).max().orElse(0);
    List<Integer> stops = plan.options().path().stream().map(stop -> plan.rounds().indexOf(stop) + 1).toList();
    Checkpoint checkpoint = new Checkpoint(folder, network, identity(plan, backend, network, data), stops, last);
    if (last > 0) {
      try (Arena arena = Arena.ofConfined()) {
        checkpoint.requireSame(checkpoint.file(last, arena));
      }
    }
    return checkpoint;
  }

  private static String hash(Optional<Dataset> data) throws IOException {
    return data.isPresent() ? Fingerprint.of(data.get()) : "none";
  }

  private static Map<String, String> identity(PruningPlan plan, Backend backend, DenseNetwork network,
      Map<String, String> data) {
    Map<String, String> identity = new LinkedHashMap<>();
    var module = Checkpoint.class.getModule().getDescriptor();
    identity.put("version", module == null ? "development" : module.rawVersion().orElse("development"));
    identity.put("model", Fingerprint.of(network));
    // What is free of a GPU's memory is no part of it.
    identity.put("device", backend.description().replaceFirst(", [\\d.,]+ of [\\d.,]+ GiB", ""));
    plan.inForce().forEach((name, value) -> identity.put(name, value.toString()));
    plan.statistics().ifPresent(sums -> identity.put("statistics", sums.provenance().toString()));
    if (plan.options().target() instanceof Target.Mask(Map<String, MatrixView> masks)) {
      identity.put("mask", Fingerprint.of(masks));
    }
    List<LayerPattern> excluded = plan.options().excluded();
    identity.put("exclude",
        excluded.isEmpty() ? "none" : excluded.stream().map(LayerPattern::glob).collect(Collectors.joining(" ")));
    identity.put("new-bias", String.valueOf(plan.options().newBias()));
    identity.put("histogram-bins", String.valueOf(plan.options().histogramBins()));
    identity.putAll(data); // behind the options, by which they may be made
    return identity;
  }

  /// The rounds that are done, or the attempts of a search.
  public int rounds() {
    return rounds;
  }

  /// Writes a round, and removes those before it at which the path does not stop.
  ///
  /// @param now its network
  public void save(PruningProgress progress, DenseNetwork now) throws IOException {
    save(progress.rounds(), new Round(progress, now, ""), stops::contains);
  }

  /// Writes an attempt of a search, and removes those before it that need not stay.
  ///
  /// @param round the best one so far, and the log of all attempts
  /// @param stays whether an attempt of that number is needed to go on
  public void save(int number, Round round, IntPredicate stays) throws IOException {
    List<NewTensor> tensors = new ArrayList<>();
    for (DenseLayer layer : round.network.layers()) {
      tensors.add(NewTensor.matrix(layer.name() + ".weight", layer.weights()));
      layer.bias().ifPresent(bias -> tensors.add(NewTensor.vector(layer.name() + ".bias", bias)));
    }
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put("format", FORMAT);
    identity.forEach((name, value) -> metadata.put(IDENTITY + name, value));
    metadata.put("progress", JSON.writeValueAsString(Saved.of(round.progress)));
    metadata.put("log", round.log);
    metadata.put("checksum", checksum(metadata.get("progress"), round.log, round.network));
    SafetensorsWriter.write(path(number), true, tensors, metadata);
    for (Path file : files(folder)) {
      int earlier = number(file);
      if (earlier < number && !stays.test(earlier)) {
        Files.deleteIfExists(file);
      }
    }
  }

  /// What a round was left with.
  ///
  /// @param network after it
  /// @param log of a search; otherwise empty
  public record Round(PruningProgress progress, DenseNetwork network, String log) {}

  /// Reads a round, or an attempt of a search.
  ///
  /// @param arena takes the memory of its network
  /// @throws IOException if the file cannot be read or is damaged
  public Round load(int round, Arena arena) throws IOException {
    try (Arena mapped = Arena.ofConfined()) {
      SafetensorsFile file = file(round, mapped);
      requireSame(file);
      List<DenseLayer> layers = new ArrayList<>();
      for (DenseLayer layer : network.layers()) {
        Optional<MatrixView> bias = file.tensor(layer.name() + ".bias").isEmpty()
            ? Optional.empty()
            : Optional.of(values(file, layer.name() + ".bias", List.of((long) layer.outputs()), arena));
        layers.add(new DenseLayer(layer.name(),
            values(file, layer.name() + ".weight", List.of((long) layer.outputs(), (long) layer.inputs()), arena), bias,
            layer.activation()));
      }
      String saved = file.metadata().getOrDefault("progress", "");
      DenseNetwork then = new DenseNetwork(network.graph(), layers);
      String log = file.metadata().getOrDefault("log", "");
      if (!checksum(saved, log, then).equals(file.metadata().get("checksum"))) {
        throw damaged(file);
      }
      return new Round(JSON.readValue(saved, Saved.class).progress(), then, log);
    } catch (NonFiniteException | JacksonException e) {
      throw new IOException("%s: is damaged; delete it to repeat its round".formatted(path(round)), e);
    }
  }

  /// A copy, since a backend may use mapped memory where it lies.
  private static MatrixView values(SafetensorsFile file, String name, List<Long> shape, Arena arena)
      throws FormatException {
    Tensor tensor = file.tensor(name).filter(found -> found.dtype() == DType.F32 && found.shape().equals(shape))
        .orElseThrow(() -> damaged(file));
    int columns = Math.toIntExact(shape.getLast());
    MatrixView copy = MatrixView.allocate(arena, Math.toIntExact(tensor.elements() / columns), columns);
    copy.segment().copyFrom(tensor.data());
    return copy;
  }

  private static FormatException damaged(SafetensorsFile file) {
    return FormatException.of(file.path(), "is damaged; delete it to repeat its round");
  }

  private static String checksum(String progress, String log, DenseNetwork network) {
    return new Fingerprint().add(progress).add(log).add(Fingerprint.of(network)).toString();
  }

  private SafetensorsFile file(int round, Arena arena) throws IOException {
    SafetensorsFile file = SafetensorsFile.open(path(round), arena);
    if (!FORMAT.equals(file.metadata().get("format"))) {
      throw FormatException.of(file.path(),
          "is no checkpoint of format %s; choose another folder for checkpoints".formatted(FORMAT));
    }
    return file;
  }

  private void requireSame(SafetensorsFile file) {
    String limit = file.metadata().get(IDENTITY + LIMIT);
    if (limit != null && !identity.containsKey(LIMIT)) {
      throw new MismatchException(
          "the checkpoint in %s is of a search with the limit %s; use another folder, or delete it".formatted(folder,
              limit));
    }
    identity.forEach((name, value) -> {
      String then = file.metadata().get(IDENTITY + name);
      if (!value.equals(then)) {
        String change = switch (name) {
          case "model", "data", "mask", HELD_OUT -> "the %s changed".formatted(name);
          default -> "%s was %s and is %s".formatted(name, then == null ? "not set" : then, value);
        };
        throw new MismatchException("the checkpoint in %s is of another pruning: %s; use another folder, or delete it"
            .formatted(folder, change));
      }
    });
    for (String key : file.metadata().keySet()) {
      if (key.startsWith(IDENTITY) && !identity.containsKey(key.substring(IDENTITY.length()))) {
        throw new MismatchException(
            "the checkpoint in %s is of another pruning: %s was %s and is not set; %s".formatted(folder,
                key.substring(IDENTITY.length()), file.metadata().get(key), "use another folder, or delete it"));
      }
    }
  }

  private Path path(int round) {
    return folder.resolve("round-%s.safetensors".formatted(round));
  }

  private static List<Path> files(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.filter(file -> FILE.matcher(file.getFileName().toString()).matches()).sorted().toList();
    }
  }

  private static int number(Path file) {
    Matcher matcher = FILE.matcher(file.getFileName().toString());
    return matcher.matches() ? Integer.parseInt(matcher.group(1)) : 0;
  }

  /// A [PruningProgress] as JSON has it.
  private record Saved(int rounds, List<SavedLayer> layers, List<List<Integer>> repairs) {
    static Saved of(PruningProgress progress) {
      return new Saved(progress.rounds(), progress.layers().stream().map(SavedLayer::of).toList(), progress.repairs());
    }

    PruningProgress progress() {
      return new PruningProgress(rounds, layers.stream().map(SavedLayer::layer).toList(), repairs);
    }
  }

  /// @param cut threshold, below, ties and equal; or the group's width and what is removed of it. A mask and
  ///            neurons, which have no threshold, are kept as their count below infinity
  private record SavedLayer(int number, double predicted, List<String> cut, boolean zero,
      Optional<Histogram> importance) {
    static SavedLayer of(PruningProgress.Layer layer) {
      List<String> cut = switch (layer.cut()) {
        case Cut.Below below -> text(below);
        case Cut.PerGroup(int width, double removed) -> List.of(String.valueOf(width), String.valueOf(removed));
        case Cut.Mask(MatrixView mask) -> text(new Cut.Below(Float.POSITIVE_INFINITY, mask.zeros(), 0, 0));
        case Cut.Neurons(BitSet rows, BitSet columns) ->
          text(new Cut.Below(Float.POSITIVE_INFINITY, rows.cardinality() + columns.cardinality(), 0, 0));
      };
      return new SavedLayer(layer.number(), layer.predicted(), cut, layer.zero(), layer.importance());
    }

    private static List<String> text(Cut.Below cut) {
      return List.of(String.valueOf(cut.threshold()), String.valueOf(cut.below()), String.valueOf(cut.ties()),
          String.valueOf(cut.equal()));
    }

    PruningProgress.Layer layer() {
      Cut parsed = cut.size() == 2
          ? new Cut.PerGroup(Integer.parseInt(cut.get(0)), Double.parseDouble(cut.get(1)))
          : new Cut.Below(Float.parseFloat(cut.get(0)), Long.parseLong(cut.get(1)), Long.parseLong(cut.get(2)),
              Long.parseLong(cut.get(3)));
      return new PruningProgress.Layer(number, predicted, parsed, zero, importance);
    }
  }
}
