package dev.espalier.cli;

import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import picocli.CommandLine.UnmatchedArgumentException;

/// `espalier help`.
@Command(name = "help", sortOptions = false)
final class HelpCommand implements Runnable {
  @Spec
  private CommandSpec spec;

  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "COMMAND", arity = "0..1")
  private String command;

  @Override
  public void run() {
    CommandLine espalier = spec.parent().commandLine();
    CommandLine asked = command == null ? espalier : espalier.getSubcommands().get(command);
    if (asked == null) {
      throw new UnmatchedArgumentException(espalier, List.of(command));
    }
    asked.usage(global.out());
  }
}
