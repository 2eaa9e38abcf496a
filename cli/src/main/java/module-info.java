/// The command line.
module dev.espalier.cli {
  requires dev.espalier.engine;
}
