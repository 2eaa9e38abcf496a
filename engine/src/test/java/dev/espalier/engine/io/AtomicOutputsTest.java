package dev.espalier.engine.io;

import static dev.espalier.engine.io.TestFiles.list;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class AtomicOutputsTest {
  @TempDir
  private Path folder;

  @Test
  void oneFileIsNotWrittenTwice() throws IOException {
    Path file = folder.resolve("file");
    Path link = Files.createSymbolicLink(folder.resolve("link"), file);
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      outputs.write(file, true, AtomicOutput.text("one"));
      IOException e = assertThrows(IOException.class, () -> outputs.write(link, true, AtomicOutput.text("two")));
      assertEquals(link + ": is written twice; choose another output", e.getMessage());
    }
  }

  @Test
  void filesAppearTogether() throws IOException {
    Path old = Files.writeString(folder.resolve("old"), "old");
    Path made = folder.resolve("a/b/made");
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      outputs.createFolder(made.getParent());
      outputs.write(old, true, AtomicOutput.text("new"));
      outputs.write(made, false, AtomicOutput.text("made"));
      assertEquals("old", Files.readString(old));
      assertFalse(Files.exists(made));
      outputs.commit();
    }
    assertEquals("new", Files.readString(old));
    assertEquals("made", Files.readString(made));
    assertEquals(List.of("a", "old"), list(folder));
    assertEquals(List.of("made"), list(made.getParent()));
  }

  @Test
  void filesThatAreNotCommittedLeaveNothing() throws IOException {
    Path old = Files.writeString(folder.resolve("old"), "old");
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      outputs.createFolder(folder.resolve("a/b"));
      outputs.write(old, true, AtomicOutput.text("new"));
      outputs.write(folder.resolve("a/b/made"), false, AtomicOutput.text("made"));
    }
    assertEquals("old", Files.readString(old));
    assertEquals(List.of("old"), list(folder));

    try (AtomicOutputs outputs = new AtomicOutputs()) {
      assertThrows(IOException.class, () -> outputs.createFolder(folder.resolve("a").resolve("b".repeat(300))));
    }
    assertEquals(List.of("old"), list(folder));
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      outputs.createFolder(folder.resolve("a/b"));
      Files.writeString(folder.resolve("a/another's"), "");
    }
    assertEquals(List.of("another's"), list(folder.resolve("a")));
  }

  @Test
  void aFileThatCannotAppearWithdrawsThoseBeforeIt() throws IOException {
    Path old = Files.writeString(folder.resolve("old"), "old");
    Path made = folder.resolve("made");
    Path last = folder.resolve("last");
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      outputs.write(old, true, AtomicOutput.text("new"));
      outputs.write(made, true, AtomicOutput.text("made"));
      outputs.write(last, false, AtomicOutput.text("last"));
      Files.writeString(last, "another's");
      IOException e = assertThrows(IOException.class, outputs::commit);
      assertTrue(e.getMessage().startsWith(last + ": already exists"), e.getMessage());
      assertEquals(0, e.getSuppressed().length);
    }
    assertEquals("old", Files.readString(old));
    assertEquals("another's", Files.readString(last));
    assertEquals(List.of("last", "old"), list(folder));
  }

  @Test
  @DisabledOnOs(OS.WINDOWS)
  void aProcessThatIsAskedToEndLeavesNothing() throws IOException, InterruptedException {
    Path old = Files.writeString(folder.resolve("old"), "old");
    Process writer = writer(old);
    writer.toHandle().destroy(); // which leaves its input open
    assertEnds(writer);
    assertEquals(List.of("old"), list(folder));
    assertEquals("old", Files.readString(old));
  }

  @Test
  @DisabledOnOs(OS.WINDOWS)
  void whatAKilledProcessLeavesDisturbsNothing() throws IOException, InterruptedException {
    Path old = Files.writeString(folder.resolve("old"), "old");
    Process writer = writer(old);
    writer.toHandle().destroyForcibly();
    assertEnds(writer);
    assertEquals("old", Files.readString(old));
    assertEquals(2, list(folder).size());
    AtomicOutput.writeText(old, true, "new");
    assertEquals("new", Files.readString(old));
  }

  private static void assertEnds(Process writer) throws InterruptedException {
    assertTrue(writer.waitFor(1, TimeUnit.MINUTES));
    assertNotEquals(0, writer.exitValue());
  }

  /// A process in the middle of writing a file.
  private static Process writer(Path target) throws IOException {
    Process process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
        System.getProperty("java.class.path") + ":" + System.getProperty("jdk.module.path", ""),
        HalfWriter.class.getName(), target.toString()).redirectErrorStream(true).start();
    assertEquals("half\n", new String(process.getInputStream().readNBytes(5), StandardCharsets.UTF_8));
    return process;
  }

  /// Writes half of a file, says so, and waits to be ended.
  static final class HalfWriter {
    private HalfWriter() {}

    public static void main(String... arguments) throws IOException {
      AtomicOutput.write(Path.of(arguments[0]), true, channel -> {
        channel.write(ByteBuffer.allocate(1000));
        System.out.println("half");
        while (System.in.read() >= 0) {
          // nothing is sent
        }
      });
    }
  }
}
