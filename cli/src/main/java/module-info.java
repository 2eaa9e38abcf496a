/// The command line.
@SuppressWarnings("requires-automatic") // the progress bar's terminal library has no module name of its own
module dev.espalier.cli {
  requires dev.espalier.engine;
  requires info.picocli;
  requires java.management;
  requires jdk.management;
  requires me.tongfei.progressbar;

  opens dev.espalier.cli to info.picocli;
}
