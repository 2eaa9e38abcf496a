package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.io.ArrayFormat.Role;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Opens data files as rows of float32: `.npy`, `.npz`, `.safetensors`, `.csv` and MNIST's IDX; `.npy`, `.csv` and IDX
/// also compressed by gzip. The content of a file decides its format; its name decides only where the content does not.
///
/// The first dimension of an array counts samples and the others are flattened; one dimension is a column.
/// Where a file may hold several arrays, `file.npz:name` chooses one.
public final class SampleFiles {
  private static final int SNIFFED_BYTES = 16;
  /// What deflate can make of a byte at the most.
  private static final int LARGEST_EXPANSION = 1032;
  private static final Pattern WITH_ARRAY = Pattern.compile("(.*?\\.(?:npz|safetensors)):(.+)",
      Pattern.CASE_INSENSITIVE | Pattern.DOTALL);

  private SampleFiles() {}

  /// Opens inputs of a network: the array `x`, or the only one. Bytes of IDX images are scaled to [0, 1].
  ///
  /// @throws FormatException if the content is not as its format demands; compressed data are checked only as
  ///                         they are read
  /// @throws IOException if the file cannot be read
  public static SampleSource samples(Path path) throws IOException {
    return open(path, Role.SAMPLES);
  }

  /// Opens labels, a class index or a target row per sample: the array `y`, or the only one. Nothing is
  /// scaled, and integers beyond 2²⁴, which float32 cannot tell apart, are refused when they are read.
  ///
  /// @throws IOException as [#samples]
  public static SampleSource labels(Path path) throws IOException {
    return open(path, Role.LABELS);
  }

  private enum Format {
    NPY, NPZ, SAFETENSORS, CSV, IDX
  }

  private static SampleSource open(Path path, Role role) throws IOException {
    Matcher withArray = WITH_ARRAY.matcher(path.toString());
    boolean named = !Files.exists(path) && withArray.matches();
    Path file = named ? path.getFileSystem().getPath(withArray.group(1)) : path;
    String array = named ? withArray.group(2) : null;
    InputFile.length(file);
    boolean gzip = InputFile.isGzip(file);
    Format format = format(file, gzip);
    if (named && format != Format.NPZ && format != Format.SAFETENSORS) {
      throw new FormatException(file, "its array has no name; leave out %s".formatted(quote(":" + array)));
    }
    return switch (format) {
      case NPY, IDX -> array(file, gzip, format, role);
      case CSV -> CsvSamples.open(file, role);
      case NPZ -> NpzFile.open(file, array, role);
      case SAFETENSORS -> tensor(file, array, role);
    };
  }

  private static Format format(Path file, boolean gzip) throws IOException {
    byte[] start;
    try (InputStream in = InputFile.stream(file)) {
      start = in.readNBytes(SNIFFED_BYTES);
    } catch (IOException e) {
      throw FileErrors.reading(file, e);
    }
    String name = file.getFileName().toString().toLowerCase(Locale.ROOT).replaceFirst("\\.gz$", "");
    boolean zip = begins(start, (byte) 'P', (byte) 'K', (byte) 3, (byte) 4);
    boolean json = start.length > Long.BYTES && start[Long.BYTES] == '{' && start[Long.BYTES - 1] == 0;
    if (begins(start, NpyHeader.MAGIC)) {
      return Format.NPY;
    } else if (IdxHeader.matches(start)) {
      return Format.IDX;
    } else if (name.endsWith(".csv")) {
      return Format.CSV;
    } else if (gzip && (zip || json)) {
      throw new FormatException(file, "compressed archives are not read; decompress it with gunzip");
    } else if (zip) {
      return Format.NPZ;
    } else if (json || name.endsWith(".safetensors")) {
      return Format.SAFETENSORS;
    }
    throw new FormatException(file, "begins like no .npy, .npz, .safetensors or IDX file, and is not called .csv; "
        + "check that it is data, and whole");
  }

  private static boolean begins(byte[] bytes, byte... magic) {
    return bytes.length >= magic.length && Arrays.equals(bytes, 0, magic.length, magic, 0, magic.length);
  }

  /// The one array of a `.npy` or IDX file.
  private static SampleSource array(Path file, boolean gzip, Format kind, Role role) throws IOException {
    ArrayFormat format;
    try (InputStream in = InputFile.stream(file)) {
      String name = file.toString();
      format = kind == Format.NPY ? NpyHeader.read(in, name, role) : IdxHeader.read(in, name, role);
    } catch (IOException e) {
      throw FileErrors.reading(file, e);
    }
    long length = InputFile.length(file);
    if (!gzip) {
      format.checkEnd(length);
      return new MappedSamples(file, format);
    }
    if (format.end() / LARGEST_EXPANSION > length) {
      format.checkEnd(length * LARGEST_EXPANSION);
    }
    return new StreamedSamples(format, () -> InputFile.stream(file));
  }

  private static SampleSource tensor(Path file, String array, Role role) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsFile opened = SafetensorsFile.open(file, arena);
      String chosen = choose(file, array, role, opened.tensors().stream().map(Tensor::name).toList());
      Tensor tensor = opened.tensor(chosen).orElseThrow();
      return new MappedSamples(file, ArrayFormat.of(file + ":" + chosen, role, tensor.dtype(), ByteOrder.LITTLE_ENDIAN,
          opened.offset(tensor), false, tensor.shape(), false));
    }
  }

  /// The array that was asked for by name, else that of the role, else the only one.
  static String choose(Path file, String asked, Role role, List<String> arrays) throws FormatException {
    String wanted = asked == null ? role.array : asked;
    if (arrays.contains(wanted)) {
      return wanted;
    }
    if (asked == null && arrays.size() == 1) {
      return arrays.getFirst();
    }
    String has = arrays.isEmpty()
        ? "it has none"
        : "it has " + String.join(", ", arrays.stream().limit(20).map(FormatException::quote).toList())
            + "; choose one as file:name";
    throw new FormatException(file, "has no array %s, %s".formatted(quote(wanted), has));
  }
}
