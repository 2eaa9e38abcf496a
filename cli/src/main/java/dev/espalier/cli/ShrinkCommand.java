package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.Compaction.Kept;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier shrink`.
@Command(name = "shrink", sortOptions = false)
final class ShrinkCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL")
  private Path model;

  @Mixin
  private ModelOptions reading;

  @Option(names = "--round-up-to", paramLabel = "N", order = 10, converter = Values.AtLeastOne.class)
  private int multiple = 1;

  @ArgGroup(validate = false, order = 8, headingKey = "output.heading")
  private OutputOptions output = new OutputOptions();

  @Override
  public Integer call() throws IOException {
    global.require(output.output != null, "--output is missing: give -o FILE");
    output.check(global);
    try (Arena arena = Arena.ofConfined()) {
      ModelFile file = reading.load(model, Optional.empty(), global, arena);
      Compaction compaction = Compaction.of(file.network(), multiple, arena);
      ModelFile smaller = file.compacted(compaction, arena);
      long before = bytes(file.files());
      try (AtomicOutputs outputs = new AtomicOutputs()) {
        smaller.save(outputs, output.output, compaction.network(), _ -> false, output.force);
        outputs.commit();
      }
      print(file.network(), compaction);
      global.out().println(
          "file: %s, now %s".formatted(PLAIN.counted(before, "byte"), PLAIN.count(bytes(file.written(output.output)))));
      note(file.network(), compaction);
      smaller.conversions(output.output, compaction.network()).forEach(global::note);
      global.say("model: " + output.output);
    }
    return 0;
  }

  private static long bytes(List<Path> files) throws IOException {
    long bytes = 0;
    for (Path file : files) {
      bytes += Files.size(file);
    }
    return bytes;
  }

  private void print(DenseNetwork network, Compaction compaction) {
    DenseNetwork smaller = compaction.network();
    Table table = new Table(3, "layer", "shape", "shrunk", "weights", "shrunk", "of them zero", "now");
    for (int l = 0; l < network.layers().size(); l++) {
      DenseLayer before = network.layers().get(l);
      DenseLayer after = smaller.layers().get(l);
      table.row(before.name(), PLAIN.shape(before.outputs(), before.inputs()),
          PLAIN.shape(after.outputs(), after.inputs()), PLAIN.count(before.elements()), PLAIN.count(after.elements()),
          PLAIN.percent(before.sparsity()), PLAIN.percent(after.sparsity()));
    }
    table.rule();
    table.row("total", "", "", PLAIN.count(network.weights()), PLAIN.count(smaller.weights()),
        PLAIN.percent(network.sparsity()), PLAIN.percent(smaller.sparsity()));
    table.lines().forEach(global.out()::println);
    global.out().println();
    long work = network.graph().multiplyAdds();
    long left = smaller.graph().multiplyAdds();
    global.out().println("multiply-adds per sample: %s, now %s (%s)".formatted(PLAIN.count(work), PLAIN.count(left),
        PLAIN.percent((double) left / work)));
  }

  private void note(DenseNetwork network, Compaction compaction) {
    if (!network.graph().tiedText().isEmpty()) {
      global.note("layers that several nodes use keep their shapes: " + network.graph().tiedText());
    }
    if (compaction.isUnchanged()) {
      global.note("no neuron can be removed, so the model is written as it is"
          + (multiple > 1 ? "; or too few are for widths that are multiples of " + multiple : ""));
    } else if (!ModelFile.isOnnx(output.output)) {
      String widths = Stream
          .concat(Stream.of(network.inputs()), compaction.network().layers().stream().map(DenseLayer::outputs))
          .map(String::valueOf).collect(Collectors.joining("-"));
      global.note("the shapes of tensors change: what loads the model needs the widths " + widths);
    }
    for (int l = 0; l < network.layers().size(); l++) {
      Kept kept = compaction.layers().get(l);
      if (kept.constant() > 0) {
        global.note("layer %s keeps %s of constant value, because a layer behind has no bias to take that"
            .formatted(network.layers().get(l).name(), PLAIN.counted(kept.constant(), "neuron")));
      }
      if (kept.padding() > 0) {
        global.note("layer %s keeps %s as zeros, for --round-up-to %s".formatted(network.layers().get(l).name(),
            PLAIN.counted(kept.padding(), "removable neuron"), multiple));
      }
    }
  }
}
