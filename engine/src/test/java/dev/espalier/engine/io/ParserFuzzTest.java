package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.provider.Arguments;

/// Coverage-guided fuzzing of all readers by Jazzer, in a process of its own: for 10 seconds, or as many as the property
/// `espalier.fuzz.seconds` says.
final class ParserFuzzTest {
  private static final int SECONDS = Integer.getInteger("espalier.fuzz.seconds", 10);

  @TempDir
  private Path folder;

  @Test
  @EnabledOnOs(OS.LINUX)
  void filesAreReadOrRefused() throws Exception {
    Path corpus = Files.createDirectory(folder.resolve("corpus"));
    List<byte[]> seeds = seeds();
    for (int i = 0; i < seeds.size(); i++) {
      Files.write(corpus.resolve("seed-" + i), seeds.get(i));
    }
    Path log = folder.resolve("log");
    Path temporary = Files.createDirectory(folder.resolve("tmp"));
    Process jazzer = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx512m",
        "-Djava.io.tmpdir=" + temporary, "--enable-native-access=ALL-UNNAMED", "-cp",
        System.getProperty("java.class.path"), "com.code_intelligence.jazzer.Jazzer",
        "--target_class=" + ParserFuzz.class.getName(),
        "--instrumentation_includes=dev.espalier.engine.io.**:dev.espalier.engine.data.**:dev.espalier.engine.matrix.**",
        "-max_total_time=" + SECONDS, "-seed=1", "-timeout=60", "-rss_limit_mb=4096", "-max_len=4096",
        corpus.toString()).directory(folder.toFile()).redirectErrorStream(true).redirectOutput(log.toFile()).start();
    try {
      jazzer.waitFor(SECONDS + 120L, TimeUnit.SECONDS);
      String told = Files.readString(log, StandardCharsets.ISO_8859_1);
      assertEquals(0, jazzer.exitValue(), told.substring(Math.max(0, told.indexOf("== Java Exception"))));
    } finally {
      jazzer.destroyForcibly();
    }
  }

  /// Small valid files of each format, behind the number of their name.
  private static List<byte[]> seeds() throws IOException {
    List<byte[]> seeds = new ArrayList<>();
    for (Arguments file : SampleFilesTest.twoRows().toList()) {
      String name = (String) file.get()[0];
      add(seeds, name.endsWith(".npz")
          ? "x.npz"
          : name.endsWith(".npy.gz")
              ? "x.npy.gz"
              : name.endsWith(".csv.gz")
                  ? "x.csv.gz"
                  : name.endsWith(".gz")
                      ? "x.gz"
                      : name.endsWith(".npy")
                          ? "x.npy"
                          : name.endsWith(".csv") ? "x.csv" : name.endsWith(".safetensors") ? "x.safetensors" : "x-idx",
          (byte[]) file.get()[1]);
    }
    add(seeds, "m.safetensors",
        TestFiles.safetensors(
            "{\"__metadata__\":{\"activations\":\"tanh\"},\"0.weight\":{\"dtype\":\"F16\",\"shape\":[2,1],"
                + "\"data_offsets\":[0,4]},\"0.bias\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[4,8]}}",
            new byte[8]));
    add(seeds, "m.safetensors", TestFiles.safetensors(
        "{\"__metadata__\":{\"activations\":\"tanh\",\"0.weight.shape\":\"1,2\"},\"0.weight.crow_indices\":"
            + "{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]},\"0.weight.col_indices\":{\"dtype\":\"I32\","
            + "\"shape\":[1],\"data_offsets\":[8,12]},\"0.weight.values\":{\"dtype\":\"F32\",\"shape\":[1],"
            + "\"data_offsets\":[12,16]}}",
        new byte[]{0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 64}));
    add(seeds, "m.safetensors",
        TestFiles.safetensors(
            "{\"0.weight.values\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[0,4]},"
                + "\"0.weight.indices_2_4\":{\"dtype\":\"U8\",\"shape\":[1,1],\"data_offsets\":[4,5]}}",
            new byte[]{0, 64, 0, 64, 4}));
    add(seeds, "m.safetensors",
        TestFiles.safetensors(
            "{\"0.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[2,1],\"data_offsets\":[0,2]},\"0.bias\":{\"dtype\":"
                + "\"F8_E5M2\",\"shape\":[2],\"data_offsets\":[2,4]},\"1\":{\"dtype\":\"F4\",\"shape\":[2,3],"
                + "\"data_offsets\":[4,7]},\"2\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[7,10]}}",
            new byte[10]));
    add(seeds, "m.safetensors",
        TestFiles.safetensors("{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
            + "\"1.running_mean\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[8,12]},\"1.running_var\":{\"dtype\":"
            + "\"F16\",\"shape\":[2],\"data_offsets\":[12,16]}}", new byte[16]));
    add(seeds, "m.onnx", written("sin:30"));
    add(seeds, "m.onnx", written("leaky_relu:0.2"));
    add(seeds, "m.onnx", new OnnxModel(0, 3).sparse("w", new long[]{2, 3}, new long[]{1, 5}, 1, 2, 3)
        .node("Gemm", "x w", "y", "transB", 1).bytes(20));
    add(seeds, "model.safetensors.index.json",
        "{\"metadata\":{\"total_size\":8},\"weight_map\":{\"0.weight\":\"part.safetensors\"}}"
            .getBytes(StandardCharsets.UTF_8));
    for (String torch : List.of("checkpoint.pt", "legacy.pt")) {
      try (InputStream content = ParserFuzzTest.class.getResourceAsStream("torch/" + torch)) {
        add(seeds, "m.pt", content.readAllBytes());
      }
    }
    add(seeds, "m.onnx",
        new OnnxModel(0, 3).outside("w", new long[]{1, 3}, "location", "m.onnx", "offset", "4", "length", "12")
            .node("Gemm", "x w", "y", "transB", 1).bytes(17));
    for (String onnx : List.of("relu.onnx", "gelu.onnx", "sklearn.onnx", "layernorm.onnx", "deeponet.onnx", "glu.onnx",
        "unbiased.onnx")) {
      try (InputStream content = ParserFuzzTest.class.getResourceAsStream("onnx/" + onnx)) {
        add(seeds, "m.onnx", content.readAllBytes());
      }
    }
    return seeds;
  }

  /// A model as it is written as ONNX.
  private static byte[] written(String activation) throws IOException {
    Path folder = Files.createTempDirectory("espalier-seed");
    Path model = folder.resolve("model.onnx");
    try (Arena arena = Arena.ofConfined(); AtomicOutputs outputs = new AtomicOutputs()) {
      DenseLayer layer = new DenseLayer("0", MatrixView.of(arena, 2, 1, 1, 2),
          Optional.of(MatrixView.of(arena, 1, 2, 3, 4)), Activation.parse(activation));
      OnnxWriter.write(outputs, model, false,
          List.of(new OnnxWriter.Layer(layer, layer.activation(), "0.weight", Optional.of("0.bias"), Optional.empty())),
          List.of(), Map.of("author", "me"), OnnxWriter.MOST_WEIGHT_BYTES);
      outputs.commit();
      return Files.readAllBytes(model);
    } finally {
      Files.deleteIfExists(model);
      Files.delete(folder);
    }
  }

  private static void add(List<byte[]> seeds, String name, byte... content) {
    byte[] seed = new byte[1 + content.length];
    seed[0] = (byte) ParserFuzz.NAMES.indexOf(name);
    System.arraycopy(content, 0, seed, 1, content.length);
    seeds.add(seed);
  }
}
