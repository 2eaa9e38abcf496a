package dev.espalier.cli;

import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.ModelFile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier convert`.
@Command(name = "convert", sortOptions = false)
final class ConvertCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL", index = "0")
  private Path model;

  @Parameters(paramLabel = "FILE", index = "1")
  private Path target;

  @Mixin
  private ModelOptions reading;

  @Option(names = {"-f", "--force"}, order = 83)
  private boolean force;

  @Override
  public Integer call() throws IOException {
    OutputOptions output = new OutputOptions();
    output.output = target;
    output.force = force;
    output.check(global, target, new Path[]{model});
    try (Arena arena = Arena.ofConfined(); AtomicOutputs outputs = new AtomicOutputs()) {
      ModelFile file = reading.load(model, Optional.empty(), global, arena);
      file.save(outputs, target, file.network(), _ -> false, force);
      outputs.commit();
    }
    global.say("model: " + target);
    return 0;
  }
}
