package dev.espalier.cli;

import picocli.CommandLine.Option;

/// Where a command computes, and from which seed.
final class RunOptions extends DeviceOptions {
  @Option(names = "--seed", paramLabel = "N", order = 62, description = {
      "Of everything random: the same seed gives the same result (default: ${DEFAULT-VALUE})."})
  long seed;
}
