package dev.espalier.cli;

import picocli.CommandLine.Option;

/// Data, of which a part may be enough.
final class PartOptions extends DataOptions {
  @Option(names = "--part", paramLabel = "I/N", order = 9, converter = Values.PartConverter.class)
  Values.Part part;
}
