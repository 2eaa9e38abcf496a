package dev.espalier.cli;

import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.MaskFile;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningResult;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import picocli.CommandLine.Option;

/// What `prune` writes: a model, and its mask, for each sparsity that is asked for, or a report.
final class PruneOutputs extends OutputOptions {
  @Option(names = "--save-mask", paramLabel = "FILE", order = 80)
  Path mask;

  @Option(names = "--dry-run", order = 81)
  boolean dryRun;

  @Option(names = "--report", paramLabel = "DIR", order = 82)
  Path report;

  @Option(names = "--input-shape", paramLabel = "RxC", order = 82, converter = Values.ShapeConverter.class)
  Values.Shape inputShape;

  @Option(names = "--times", paramLabel = "FILE", order = 82)
  Path times;

  @Option(names = "--checkpoint", paramLabel = "DIR", order = 84)
  Path checkpoint;

  /// Refuses before the work what could not be written after it, what would replace a file that is read, and two
  /// outputs of one name.
  ///
  /// @param model which `--output` may replace
  /// @param data may be null
  void check(GlobalOptions global, SelectionOptions selection, Path model, Path... data) throws IOException {
    Path[] read = Stream.concat(Stream.of(data), Stream.of(selection.mask)).toArray(Path[]::new);
    Path[] all = Stream.concat(Stream.of(read), Stream.of(model)).toArray(Path[]::new);
    global.require(output == null || !selection.isPath() || !output.toString().endsWith(".index.json"),
        "--output %s: the parts of several models would have the same names; give a name that ends in .safetensors"
            .formatted(output));
    Map<Path, String> options = new HashMap<>();
    List<OptionalDouble> networks = networks(selection);
    if (output != null) {
      networks.forEach(sparsity -> requireOnce(global, options, "--output", at(output, sparsity)));
    }
    if (mask != null) {
      networks.forEach(sparsity -> requireOnce(global, options, "--save-mask", at(mask, sparsity)));
    }
    if (report != null) {
      requireOnce(global, options, "--report", report.resolve("report.json"));
      requireOnce(global, options, "--report", report.resolve("report.html"));
    }
    for (OptionalDouble sparsity : networks) {
      if (output != null) {
        checkModel(global, "--output", at(output, sparsity), force, read);
      }
      if (mask != null) {
        check(global, "--save-mask", at(mask, sparsity), force, all);
        requireSafetensors(global, "--save-mask", at(mask, sparsity));
      }
    }
    Reports.check(report, force, "--report");
  }

  /// What was measured of layers as those of a network, if it is given.
  Optional<MeasuredTimes> measured(GlobalOptions global, DenseNetwork network) throws IOException {
    if (times == null) {
      return Optional.empty();
    }
    if (output != null && ModelFile.isOnnx(output)) {
      global.note(
          "--times: csr is as espalier time computes it; ONNX models have no csr, and ONNX Runtime multiplies zeros");
    }
    return Optional.of(MeasuredTimes.read(times, network));
  }

  /// Refuses what the model that was read does not allow, and files beside an index or a model that could not be written.
  ///
  /// @param data may be null
  void check(GlobalOptions global, ModelFile model, SelectionOptions selection, Path... data) throws IOException {
    for (OptionalDouble sparsity : networks(selection)) {
      for (Path file : Stream.of(output, mask).filter(Objects::nonNull).toList()) {
        model.requireWritable(at(file, sparsity));
      }
    }
    for (OptionalDouble sparsity : output == null ? List.<OptionalDouble>of() : networks(selection)) {
      for (Path part : model.written(at(output, sparsity))) {
        check(global, "--output", part, force, data);
      }
    }
  }

  private static void requireOnce(GlobalOptions global, Map<Path, String> options, String option, Path written) {
    String other = options.put(written.toAbsolutePath().normalize(), option);
    global.require(other == null, "%s and %s both write %s: give another file".formatted(other, option, written));
  }

  /// The sparsities that names of files tell; one without a number if there is one network.
  static List<OptionalDouble> networks(SelectionOptions selection) {
    return selection.isPath()
        ? selection.sparsities().stream().map(OptionalDouble::of).toList()
        : List.of(OptionalDouble.empty());
  }

  /// A file of one of several networks: its sparsity is added to the name, as in `pruned-0.9.safetensors`.
  ///
  /// @param sparsity empty if there is one network
  static Path at(Path file, OptionalDouble sparsity) {
    if (sparsity.isEmpty()) {
      return file;
    }
    String name = file.getFileName().toString();
    int end = name.lastIndexOf('.') > 0 ? name.lastIndexOf('.') : name.length();
    String number = BigDecimal.valueOf(sparsity.getAsDouble()).stripTrailingZeros().toPlainString();
    return file.resolveSibling("%s-%s%s".formatted(name.substring(0, end), number, name.substring(end)));
  }

  /// Writes the model, and the mask if one is wanted.
  ///
  /// @param sparsity that names of files tell; empty if there is one network
  /// @param model as it was read
  /// @param target that was reached
  /// @param last the network to write, which may have been trained since
  void save(AtomicOutputs outputs, OptionalDouble sparsity, ModelFile model, Target target, PruningResult result,
      DenseNetwork last) throws IOException {
    boolean removes = target.sparsity() > 0;
    model.save(outputs, at(output, sparsity), last, l -> removes && !result.layers().get(l).excluded(), force);
    if (mask != null) {
      MaskFile.write(outputs, at(mask, sparsity), model, result.network(), l -> !result.layers().get(l).excluded(),
          force);
    }
  }
}
