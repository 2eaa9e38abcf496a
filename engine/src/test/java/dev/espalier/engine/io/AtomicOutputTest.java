package dev.espalier.engine.io;

import static dev.espalier.engine.io.TestFiles.list;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicOutputTest {
  @TempDir
  private Path folder;

  @Test
  void textAppearsWhole() throws IOException {
    Path target = folder.resolve("report.json");
    AtomicOutput.writeText(target, false, "zwölf");
    assertEquals("zwölf", Files.readString(target));
    assertEquals(List.of("report.json"), list(folder));
  }

  @Test
  void anExistingFileIsKeptUnlessOverwritten() throws IOException {
    Path target = Files.writeString(folder.resolve("out"), "old");
    var e = assertThrows(IOException.class, () -> AtomicOutput.writeText(target, false, "new"));
    assertEquals(target + ": already exists; choose another output", e.getMessage());
    assertEquals("old", Files.readString(target));
    AtomicOutput.writeText(target, true, "new");
    assertEquals("new", Files.readString(target));
    assertEquals(List.of("out"), list(folder));
  }

  @Test
  void aFileThatAppearsMeanwhileIsKept() throws IOException {
    Path target = folder.resolve("out");
    var e = assertThrows(IOException.class,
        () -> AtomicOutput.write(target, false, _ -> Files.writeString(target, "other")));
    assertTrue(e.getMessage().contains("already exists"), e.getMessage());
    assertEquals("other", Files.readString(target));
    assertEquals(List.of("out"), list(folder));
  }

  @Test
  void aFailureLeavesNothing() throws IOException {
    Path target = folder.resolve("out");
    AtomicOutput.Content half = channel -> {
      channel.write(ByteBuffer.allocate(100));
      assertEquals(1, list(folder).size());
      assertTrue(list(folder).getFirst().startsWith("out."), () -> target.toString());
      throw new IOException("No space left on device");
    };
    var e = assertThrows(IOException.class, () -> AtomicOutput.write(target, false, half));
    assertEquals(target + ": not written: No space left on device; free space or choose another output",
        e.getMessage());
    assertEquals(List.of(), list(folder));
    var bug = new IllegalStateException("bug");
    assertSame(bug, assertThrows(IllegalStateException.class, () -> AtomicOutput.write(target, false, _ -> {
      throw bug;
    })));
    assertEquals(List.of(), list(folder));
    Files.writeString(target, "old");
    assertThrows(IOException.class, () -> AtomicOutput.write(target, true, _ -> {
      throw new IOException("disk on fire");
    }));
    assertEquals("old", Files.readString(target));
  }

  @Test
  void aLinkIsFollowed() throws IOException {
    Path real = Files.writeString(folder.resolve("real"), "old");
    Path link = Files.createSymbolicLink(folder.resolve("link"), real);
    AtomicOutput.writeText(link, true, "new");
    assertEquals("new", Files.readString(real));
    assertTrue(Files.isSymbolicLink(link));
  }

  @Test
  void aLinkToAFileThatIsNotThereIsFollowed() throws IOException {
    Path real = Files.createDirectory(folder.resolve("other")).resolve("real");
    Path link = Files.createSymbolicLink(folder.resolve("link"), Path.of("other", "real"));
    Path chain = Files.createSymbolicLink(folder.resolve("chain"), link);
    for (boolean overwrite : List.of(false, true)) {
      AtomicOutput.check(chain, overwrite);
      assertEquals(List.of(), list(real.getParent()));
      AtomicOutput.writeText(chain, overwrite, "new");
      assertEquals("new", Files.readString(real));
      assertTrue(Files.isSymbolicLink(link) && Files.isSymbolicLink(chain));
      assertEquals(List.of("chain", "link", "other"), list(folder));
      Files.delete(real);
    }
    Files.delete(real.getParent());
    var e = assertThrows(IOException.class, () -> AtomicOutput.check(chain, true));
    assertEquals(chain + ": its folder does not exist; create it or choose another output", e.getMessage());
    Path loop = Files.createSymbolicLink(folder.resolve("loop"), Path.of("loop"));
    e = assertThrows(IOException.class, () -> AtomicOutput.check(loop, true));
    assertEquals(loop + ": is a link that leads nowhere; choose another output", e.getMessage());
  }

  /// Such as a name that is too long only with the ending of a temporary file.
  @Test
  void whatCannotBeWrittenIsTriedBefore() throws IOException {
    Path target = folder.resolve("x".repeat(240));
    var e = assertThrows(IOException.class, () -> AtomicOutput.check(target, true));
    assertTrue(e.getMessage().startsWith(target + ": not written: File name too long"), e.getMessage());
    AtomicOutput.check(folder.resolve("x".repeat(200)), true);
    assertEquals(List.of(), list(folder));
  }

  @Test
  void impossibleTargetsAreRefusedBeforeWriting() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "");
    for (Path target : List.of(folder.resolve("missing/out"), file.resolve("out"), folder, Path.of("/"))) {
      var e = assertThrows(IOException.class, () -> AtomicOutput.write(target, true, _ -> {
        throw new AssertionError("content written");
      }));
      assertTrue(e.getMessage().startsWith(target + ": "), e.getMessage());
      assertEquals(1, e.getMessage().lines().count());
    }
    assertEquals(List.of("file"), list(folder));
  }

  @Test
  void anUnwritableFolderIsRefused() throws IOException {
    Path locked = Files.createDirectory(folder.resolve("locked"));
    Files.setPosixFilePermissions(locked, PosixFilePermissions.fromString("r-xr-xr-x"));
    assumeFalse(Files.isWritable(locked), "root writes everywhere");
    Path target = locked.resolve("out");
    var e = assertThrows(IOException.class, () -> AtomicOutput.writeText(target, false, ""));
    assertEquals(target + ": no permission to write into its folder; choose another output", e.getMessage());
  }

  @Test
  void aFullDiskLeavesNothing() throws IOException, InterruptedException {
    Path disk = Files.createDirectory(folder.resolve("disk"));
    assumeTrue(run("mount", "-t", "tmpfs", "-o", "size=64k", "none", disk.toString()), "needs to mount a tmpfs");
    try {
      Path target = disk.resolve("out");
      var e = assertThrows(IOException.class, () -> AtomicOutput.writeText(target, false, "x".repeat(1 << 17)));
      assertEquals(target + ": not written: No space left on device; free space or choose another output",
          e.getMessage());
      assertEquals(List.of(), list(disk));
    } finally {
      run("umount", disk.toString());
    }
  }

  private static boolean run(String... command) throws InterruptedException {
    try {
      return new ProcessBuilder(command).redirectErrorStream(true).start().waitFor() == 0;
    } catch (IOException _) {
      return false; // no such command here
    }
  }
}
