package dev.espalier.cli;

import picocli.CommandLine.Option;

/// Where a command computes, how much at once, and from which seed.
final class RunOptions extends BatchOptions {
  @Option(names = "--seed", paramLabel = "N", order = 65)
  long seed;
}
