package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.io.DType;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsFile;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.io.Tensor;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Masks that `prune` writes and applies.
class MaskTest {
  @TempDir
  private Path folder;
  private Fixture fixture;

  @BeforeEach
  void train() throws IOException {
    fixture = Fixture.in(folder);
  }

  private Cli.Result prune(Object... options) {
    return Cli.succeed(
        Stream.concat(Stream.of("prune", fixture.model(), "--data", fixture.data()), Stream.of(options)).toArray());
  }

  private String refused(int code, Object... options) {
    return Cli.fail(code, folder,
        Stream
            .concat(Stream.of("prune", fixture.model(), "--data", fixture.data(), "-o", fixture.file("o.safetensors")),
                Stream.of(options))
            .toArray());
  }

  @Test
  void aMaskRepeatsThePruningThatWroteIt() throws IOException {
    Path pruned = fixture.file("pruned.safetensors");
    Path mask = fixture.file("mask.safetensors");
    Cli.Result first = prune("--method", "paper", "--sparsity", 0.6, "--exclude", 2, "-o", pruned, "--save-mask", mask);
    assertTrue(first.err().contains("mask: " + mask), first.err());
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsFile file = SafetensorsFile.open(mask, arena);
      assertEquals(List.of("0.weight"), file.tensors().stream().map(Tensor::name).toList());
      assertEquals(DType.BOOL, file.tensors().getFirst().dtype());
      assertEquals(List.of(8L, 4L), file.tensors().getFirst().shape());
    }
    Cli.Result inspected = Cli.succeed("inspect", mask);
    assertTrue(inspected.out().matches("(?s).*0\\.weight +8 x 4 +13 +19 +59\\.38 %.*"), inspected.out());
    assertTrue(inspected.err().contains("note: masks of the layers of a model: espalier prune MODEL --mask " + mask),
        inspected.err());
    Path again = fixture.file("again.safetensors");
    Cli.Result second = prune("--method", "paper", "--mask", mask, "-o", again);
    assertArrayEquals(Files.readAllBytes(pruned), Files.readAllBytes(again));
    assertTrue(second.out().contains("2 (excluded)"), second.out());
    assertTrue(second.out().contains("59.38 %"), second.out()); // 19 of 32
    assertTrue(second.err().contains("note: the mask has no layer 2, which stays as it is"), second.err());
    assertFalse(second.err().contains("zero too"), second.err());
    Path repaired = fixture.file("repaired.safetensors");
    Cli.Result third = prune("--mask", mask, "--method", "refit", "-o", repaired);
    assertTrue(third.out().contains("59.38 %"), third.out());
    assertTrue(Files.mismatch(again, repaired) >= 0);
  }

  @Test
  void everySparsityHasAMask() throws IOException {
    prune("--sparsity", "0.25,0.5", "--schedule", "linear:2", "-o", fixture.file("p.safetensors"), "--save-mask",
        fixture.file("m.safetensors"));
    try (Arena arena = Arena.ofConfined()) {
      for (String sparsity : List.of("0.25", "0.5")) {
        SafetensorsFile mask = SafetensorsFile.open(fixture.file("m-%s.safetensors".formatted(sparsity)), arena);
        ModelFile model = ModelFile.load(fixture.file("p-%s.safetensors".formatted(sparsity)), Optional.empty(), arena);
        for (int l = 0; l < 2; l++) {
          MatrixView kept = mask.asFloat32(mask.tensor(model.weightTensor(l).name()).orElseThrow(), arena);
          MatrixView weights = model.network().layers().get(l).weights();
          for (int i = 0; i < kept.rows(); i++) {
            for (int j = 0; j < kept.columns(); j++) {
              assertEquals(weights.get(i, j) != 0, kept.get(i, j) == 1);
            }
          }
        }
      }
    }
    assertFalse(Files.exists(fixture.file("m.safetensors")));
  }

  @Test
  void aDryRunWritesNoMask() {
    prune("--sparsity", 0.5, "--dry-run", "--save-mask", fixture.file("m.safetensors"));
    assertFalse(Files.exists(fixture.file("m.safetensors")));
  }

  @Test
  void zerosThatTheMaskKeepsAreCounted() throws IOException {
    Path half = fixture.file("half.safetensors");
    prune("--sparsity", 0.5, "-o", half);
    Cli.Result result = Cli.succeed("prune", half, "--data", fixture.data(), "--mask", write("ones.safetensors", 1),
        "-o", fixture.file("o.safetensors"));
    assertTrue(result.err().contains("note: 28 weights more than the mask removes: zero before the pruning"),
        result.err());
    assertTrue(result.out().contains("50.00 %"), result.out());
  }

  /// Of both layers.
  private Path write(String name, float value) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      List<NewTensor> masks = new ArrayList<>();
      for (int l = 0; l < 2; l++) {
        MatrixView mask = l == 0 ? MatrixView.allocate(arena, 8, 4) : MatrixView.allocate(arena, 3, 8);
        for (long i = 0; i < mask.elements(); i++) {
          mask.segment().setAtIndex(MatrixView.ELEMENT, i, value);
        }
        masks.add(NewTensor.matrix(2 * l + ".weight", mask));
      }
      Path path = fixture.file(name);
      SafetensorsWriter.write(path, true, masks, Map.of());
      return path;
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"--sparsity 0.5", "--max-output-change 1%", "--scope layer", "--scope 2:4", "--min-per-layer 3"})
  void twoWaysToSayWhatGoesAreRefused(String other) throws IOException {
    List<String> option = List.of(other.split(" ", 2));
    assertEquals(
        "espalier: --mask and %s both say which weights are removed: give one of them; see 'espalier prune --help'"
            .formatted(option.get(0)),
        refused(2, "--mask", write("mask.safetensors", 1), option.get(0), option.get(1)));
  }

  @Test
  void whatContradictsAMaskIsRefused() throws IOException {
    Path mask = write("mask.safetensors", 1);
    assertEquals("espalier: --mask is applied in one round: leave out --schedule linear:2; see 'espalier prune --help'",
        refused(2, "--mask", mask, "--schedule", "linear:2"));
    assertEquals(
        "espalier: --exclude leaves layer 2 as it is, and --mask prunes it: drop one; see " + "'espalier prune --help'",
        refused(2, "--mask", mask, "--exclude", "2"));
    assertEquals("espalier: --save-mask %s is read by this command: give another file; see 'espalier prune --help'"
        .formatted(mask), refused(2, "--mask", mask, "--save-mask", mask, "--force"));
    assertEquals("espalier: --save-mask %s is read by this command: give another file; see 'espalier prune --help'"
        .formatted(fixture.model()), refused(2, "--sparsity", 0.5, "--save-mask", fixture.model(), "--force"));
    assertEquals(
        "espalier: --output and --save-mask both write %s: give another file; see 'espalier prune --help'"
            .formatted(fixture.file("o.safetensors")),
        refused(2, "--sparsity", 0.5, "--save-mask", fixture.file("o.safetensors")));
    assertEquals("espalier: --save-mask m.npy: this is written as safetensors; give a name that ends in .safetensors; "
        + "see 'espalier prune --help'", refused(2, "--sparsity", 0.5, "--save-mask", "m.npy"));
    assertEquals("espalier: %s: already exists; choose another output or add --force".formatted(mask),
        refused(1, "--sparsity", 0.5, "--save-mask", mask));
    assertTrue(refused(1, "--mask", write("half.safetensors", 0.5f))
        .contains("half.safetensors: the mask \"0.weight\" is 0.5 at [0, 0]; use 1 to keep a weight, 0 to remove it"));
    assertTrue(refused(1, "--mask", fixture.model()).contains("use 1 to keep a weight, 0 to remove it"));
    assertTrue(refused(1, "--mask", fixture.data()).contains("x.csv"));
  }
}
