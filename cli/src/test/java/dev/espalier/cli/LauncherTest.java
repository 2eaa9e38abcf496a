package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/// The launcher up to where it would start Java.
@DisabledOnOs(OS.WINDOWS)
class LauncherTest {
  @TempDir
  private Path folder;

  @Test
  void aFolderWithoutJdkIsRefusedInOneLineFromAnywhereAndThroughLinks()
      throws IOException, InterruptedException {
    Path link = Files.createSymbolicLink(folder.resolve("link"), Path.of("../espalier").toRealPath());
    ProcessBuilder start = new ProcessBuilder("sh", link.toString(), "--version").directory(folder.toFile());
    start.environment().put("ESPALIER_JAVA_HOME", folder.toString());
    Process process = start.start();
    List<String> err = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8).lines()
        .toList();
    assertEquals(1, process.waitFor(), err::toString);
    assertEquals(1, err.size(), err::toString);
    Files.delete(link); // or JUnit warns of a link that leads out of its folder
    assertTrue(err.getFirst().startsWith("espalier: ESPALIER_JAVA_HOME=" + folder), err::toString);
  }
}
