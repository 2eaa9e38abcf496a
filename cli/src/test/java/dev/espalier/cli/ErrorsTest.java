package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.ExcessiveTimeException;
import dev.espalier.engine.MissingDataException;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.OutOfBackendMemoryException.Remedy;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.NoSuchFileException;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

/// What the command line says of failures that are hard to provoke.
class ErrorsTest {
  @Test
  void namesTheOptionsThatHelp() {
    assertEquals(
        "espalier: 3 GiB needed; use a smaller --batch-size, or a larger --device-memory if the GPU has it, or"
            + " another --device",
        report(new OutOfBackendMemoryException("3 GiB needed", Remedy.OTHER_DEVICE, Remedy.SMALLER_BATCH,
            Remedy.MORE_DEVICE_MEMORY)));
    assertEquals("espalier: 3 GiB needed; use ESPALIER_JAVA_OPTIONS=-Xmx16g, for example",
        report(new OutOfBackendMemoryException("3 GiB needed", Remedy.LARGER_HEAP)));
    assertEquals("espalier: 3 GiB needed", report(new OutOfBackendMemoryException("3 GiB needed")));
    assertEquals("espalier: criterion wanda needs calibration samples: give --data",
        report(new MissingDataException("criterion wanda", MissingDataException.Part.SAMPLES)));
    assertEquals("espalier: it would take 3 hours; lower --max-samples, --exclude layers, or give --allow-slow",
        report(new ExcessiveTimeException("it would take 3 hours", Duration.ofHours(3))));
    assertEquals("espalier: evaluation needs labels: give --labels",
        report(new MissingDataException("evaluation", MissingDataException.Part.LABELS)));
  }

  @Test
  void namesTheLimitOfTheHeap() {
    String line = report(new OutOfMemoryError("Java heap space"));
    assertEquals("espalier: out of memory with a heap of %d MiB; lower --batch-size or --max-samples, or start with "
        .formatted(Runtime.getRuntime().maxMemory() >> 20) + "ESPALIER_JAVA_OPTIONS=-Xmx16g, for example", line);
  }

  @Test
  void findsTheCause() {
    assertEquals("espalier: x.npy: no such file; check the path",
        report(new UncheckedIOException(new NoSuchFileException("x.npy"))));
  }

  @Test
  void asksToReportWhatIsNoFaultOfTheUser() {
    assertEquals("espalier: internal error: java.lang.IllegalStateException: here; please report it with what"
        + " --verbose prints", report(new IllegalStateException("here")));
    assertEquals("espalier: internal error: java.lang.IllegalArgumentException; please report it with what --verbose"
        + " prints", report(new IllegalArgumentException()));
  }

  @Test
  void takesOneLineWhateverTheMessageHolds() {
    assertEquals("espalier: first second a?b", report(new IOException("first\n  second\r\na\u0007b\n")));
  }

  private static String report(Throwable e) {
    StringWriter err = new StringWriter();
    CommandLine commandLine = Espalier.commandLine().setErr(new PrintWriter(err));
    assertEquals(1, Errors.report(e, commandLine, false));
    assertEquals(1, err.toString().lines().count(), err::toString);
    return err.toString().strip();
  }
}
