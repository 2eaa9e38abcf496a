package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.data.ColumnSamples;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.data.ScaledSamples;
import dev.espalier.engine.io.ArrayFormat.Role;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Opens data files as rows of float32: `.npy`, `.npz`, `.safetensors`, MNIST's IDX, Parquet (also a folder of files), and
/// text (`.csv`); `.npy`, IDX and text also compressed by gzip. The content of a file decides its format; its name decides
/// only where the content does not.
///
/// The first dimension of an array counts samples and the others are flattened; one dimension is a column.
/// Where a file may hold several arrays, `file.npz:name` chooses one; for a model of several inputs, it may hold an array
/// for each, by its name.
public final class SampleFiles {
  private static final int SNIFFED_BYTES = 16;
  /// What deflate can make of a byte at the most.
  private static final int LARGEST_EXPANSION = 1032;
  private static final Pattern WITH_ARRAY = Pattern.compile("(.*?\\.(?:npz|safetensors)):(.+)",
      Pattern.CASE_INSENSITIVE | Pattern.DOTALL);

  /// Names of text files; standard input has none.
  private static final Pattern TEXT = Pattern.compile(".*\\.(csv|tsv|txt|dat|data)|[^.]*");

  private SampleFiles() {}

  /// Opens inputs of a network: the array `x`, or the only one. Bytes of IDX images are scaled to [0, 1].
  ///
  /// @throws FormatException if the content is not as its format demands; compressed data are checked only as
  ///                         they are read
  /// @throws IOException if the file cannot be read
  public static SampleSource samples(Path path) throws IOException {
    return samples(path, SampleReading.DEFAULT);
  }

  /// As [#samples(Path)], in a way that the caller sets.
  public static SampleSource samples(Path path, SampleReading reading) throws IOException {
    return scaled(picked(open(path, Role.SAMPLES, reading), reading.columns()), reading);
  }

  /// The columns that the caller names; those of Parquet files are picked where they are read.
  private static SampleSource picked(SampleSource whole, List<String> columns) throws FormatException {
    if (columns.isEmpty() || whole instanceof ParquetSamples) {
      return whole;
    }
    List<Integer> numbers = new ArrayList<>();
    for (String column : columns) {
      numbers.add(named(whole, column));
    }
    return new ColumnSamples(whole, numbers, true);
  }

  private static int named(SampleSource whole, String column) throws FormatException {
    List<String> names = names(whole);
    if (names.isEmpty()) {
      throw new FormatException(whole.name(), "its columns have no names; choose none");
    }
    int number = names.indexOf(column);
    if (number < 0) {
      throw new FormatException(whole.name(),
          "has no column %s%s".formatted(quote(column), Names.suggestion(column, names)));
    }
    if (number != names.lastIndexOf(column)) {
      throw new FormatException(whole.name(), "has several columns %s; rename them".formatted(quote(column)));
    }
    return number;
  }

  private static List<String> names(SampleSource whole) {
    return whole instanceof CsvSamples csv ? csv.names() : List.of();
  }

  /// Opens labels, a class index or a target row per sample: the array `y`, or the only one. Nothing is
  /// scaled, and integers beyond 2²⁴, which float32 cannot tell apart, are refused when they are read.
  ///
  /// @throws IOException as [#samples]
  public static SampleSource labels(Path path) throws IOException {
    return labels(path, SampleReading.DEFAULT);
  }

  /// As [#labels(Path)], in a way that the caller sets.
  public static SampleSource labels(Path path, SampleReading reading) throws IOException {
    return open(path, Role.LABELS, reading);
  }

  /// Opens samples and their labels. Where there is one label more than samples, and the first is a lone 0 in a text
  /// file, it is the header that pandas writes.
  ///
  /// @throws IOException as [#samples]
  /// @throws dev.espalier.engine.MismatchException if they differ in number
  public static Dataset dataset(Path samples, Path labels, SampleReading reading) throws IOException {
    SampleSource x = samples(samples, reading);
    SampleSource y = labels(labels, reading);
    boolean header = y instanceof CsvSamples csv && csv.zeroFirst() && y.samples() == x.samples() + 1;
    return Dataset.of(x, header ? ((CsvSamples) y).skippingZero() : y);
  }

  /// Opens samples one column of which holds their labels.
  ///
  /// @param column the name that a text file's header gives it, or its number, from 1
  /// @throws IOException as [#samples], or if there is no such column, or no other
  public static Dataset dataset(Path path, String column, SampleReading reading) throws IOException {
    if (reading.columns().contains(column)) {
      throw new FormatException(path, "column %s cannot be a sample's and its label".formatted(quote(column)));
    }
    if (isParquet(path)) {
      return Dataset.of(
          scaled(ParquetSamples.open(path, Role.SAMPLES, reading.columns(), Optional.of(column)), reading),
          ParquetSamples.open(path, Role.LABELS, List.of(column), Optional.empty()));
    }
    SampleSource whole = open(path, Role.SAMPLES, reading);
    int number = column(whole, column);
    SampleSource others = reading.columns().isEmpty()
        ? ColumnSamples.without(number, whole)
        : picked(whole, reading.columns());
    return Dataset.of(scaled(others, reading), new ColumnSamples(whole, List.of(number), false));
  }

  private static int column(SampleSource whole, String column) throws FormatException {
    List<String> names = names(whole);
    int number = names.indexOf(column);
    if (number != names.lastIndexOf(column)) {
      throw new FormatException(whole.name(),
          "has several columns %s; give the number of one".formatted(quote(column)));
    }
    if (number < 0 && column.matches("\\d{1,9}")) {
      number = Integer.parseInt(column) - 1;
    }
    if (number < 0 || number >= whole.width()) {
      String known = names.isEmpty()
          ? ""
          : ": " + String.join(", ", names.stream().limit(20).map(name -> quote(name)).toList());
      throw new FormatException(whole.name(),
          "has no column %s; it has %d%s".formatted(quote(column), whole.width(), known));
    }
    if (whole.width() == 1) {
      throw new FormatException(whole.name(), "has one column only; samples need another");
    }
    return number;
  }

  private static SampleSource scaled(SampleSource source, SampleReading reading) {
    return reading.scale().isEmpty()
        ? source
        : new ScaledSamples(source, reading.scale().get().numerator(), reading.scale().get().denominator());
  }

  private enum Format {
    NPY, NPZ, SAFETENSORS, CSV, IDX, PARQUET
  }

  private static SampleSource open(Path path, Role role, SampleReading reading) throws IOException {
    Matcher withArray = WITH_ARRAY.matcher(path.toString());
    boolean named = !Files.exists(path) && withArray.matches();
    Path file = named ? path.getFileSystem().getPath(withArray.group(1)) : path;
    if (isParquet(path)) {
      return ParquetSamples.open(path, role, role == Role.SAMPLES ? reading.columns() : List.of(), Optional.empty());
    }
    String array = named ? withArray.group(2) : null;
    InputFile.length(file);
    boolean gzip = InputFile.isGzip(file);
    Format format = format(file, gzip);
    if (named && format != Format.NPZ && format != Format.SAFETENSORS) {
      throw new FormatException(file, "its array has no name; leave out %s".formatted(quote(":" + array)));
    }
    List<ModelInput> inputs = role == Role.SAMPLES && !named ? reading.inputs() : List.of();
    return switch (format) {
      case NPY, IDX -> array(file, gzip, format, role, reading);
      case CSV -> CsvSamples.open(file, role, reading.csv());
      case NPZ -> NpzFile.open(file, array, role, inputs);
      case SAFETENSORS -> tensor(file, array, role, inputs);
      case PARQUET -> throw new FormatException(file, "Parquet is not read within gzip; decompress it with gunzip");
    };
  }

  /// Whether this is a Parquet file, or a folder of some, as Spark writes it.
  private static boolean isParquet(Path path) throws IOException {
    if (Files.isDirectory(path)) {
      return !ParquetSamples.parts(path).isEmpty();
    }
    if (!Files.isRegularFile(path)) {
      return false;
    }
    try (InputStream in = Files.newInputStream(path)) {
      return Arrays.equals(ParquetSamples.MAGIC, in.readNBytes(ParquetSamples.MAGIC.length));
    } catch (IOException e) {
      throw FileErrors.reading(path, e);
    }
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
    } else if (begins(start, ParquetSamples.MAGIC)) {
      return Format.PARQUET;
    } else if (IdxHeader.matches(start)) {
      return Format.IDX;
    } else if (TEXT.matcher(name).matches() && isText(start)) {
      return Format.CSV;
    } else if (gzip && (zip || json)) {
      throw new FormatException(file, "compressed archives are not read; decompress it with gunzip");
    } else if (zip) {
      return Format.NPZ;
    } else if (json || name.endsWith(".safetensors")) {
      return Format.SAFETENSORS;
    }
    throw new FormatException(file,
        "begins like no .npy, .npz, .safetensors, IDX or Parquet file, and is no text called .csv or .txt; "
            + "check that it is data, and whole");
  }

  /// Whether bytes may be the start of a text: they have no control characters, or begin with a byte order mark.
  private static boolean isText(byte[] start) {
    boolean mark = begins(start, (byte) 0xef, (byte) 0xbb, (byte) 0xbf) || begins(start, (byte) 0xff, (byte) 0xfe)
        || begins(start, (byte) 0xfe, (byte) 0xff);
    boolean control = false;
    for (byte each : start) {
      control |= each >= 0 && each < ' ' && "\t\n\r".indexOf(each) < 0;
    }
    return mark || !control;
  }

  private static boolean begins(byte[] bytes, byte... magic) {
    return bytes.length >= magic.length && Arrays.equals(bytes, 0, magic.length, magic, 0, magic.length);
  }

  /// The one array of a `.npy` or IDX file.
  private static SampleSource array(Path file, boolean gzip, Format kind, Role role, SampleReading reading)
      throws IOException {
    ArrayFormat format;
    try (InputStream in = InputFile.stream(file)) {
      String name = file.toString();
      format = kind == Format.NPY
          ? NpyHeader.read(in, name, role)
          : IdxHeader.read(in, name, role, reading.scale().isEmpty());
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

  private static SampleSource tensor(Path file, String array, Role role, List<ModelInput> inputs) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsFile opened = SafetensorsFile.open(file, arena);
      List<String> names = opened.tensors().stream().map(Tensor::name).toList();
      Optional<SampleSource> named = NamedArrays.open(file, names, inputs, name -> tensor(file, opened, name, role));
      return named.isPresent() ? named.get() : tensor(file, opened, choose(file, array, role, names), role);
    }
  }

  private static SampleSource tensor(Path file, SafetensorsFile opened, String name, Role role) throws IOException {
    Tensor tensor = opened.tensor(name).orElseThrow();
    return new MappedSamples(file, ArrayFormat.of(file + ":" + name, role, tensor.dtype(), ByteOrder.LITTLE_ENDIAN,
        opened.offset(tensor), false, tensor.shape(), false));
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
