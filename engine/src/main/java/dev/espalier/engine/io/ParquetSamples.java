package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.io.ArrayFormat.Role;
import dev.espalier.engine.matrix.MatrixView;
import dev.hardwood.InputFile;
import dev.hardwood.metadata.ColumnChunk;
import dev.hardwood.metadata.CompressionCodec;
import dev.hardwood.metadata.FileMetaData;
import dev.hardwood.metadata.RowGroup;
import dev.hardwood.reader.ColumnReader;
import dev.hardwood.reader.ColumnReaders;
import dev.hardwood.reader.ParquetFileReader;
import dev.hardwood.schema.ColumnProjection;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/// Rows of a Parquet file, or of the files of a folder in the order of their names. A sample is the list in one column, or
/// the numbers in several.
///
/// @param columns one of lists, or some of numbers
record ParquetSamples(Path path, Role role, List<Path> files, List<ParquetColumn> columns, long samples,
    int width) implements SampleSource {
  /// The first bytes of a file.
  static final byte[] MAGIC = {'P', 'A', 'R', '1'};

  /// The Parquet files in a folder, in the order of their names; as Spark, without hidden ones.
  static List<Path> parts(Path folder) throws IOException {
    try (Stream<Path> entries = Files.list(folder)) {
      return entries.filter(file -> file.getFileName().toString().matches("[^._].*\\.parquet")).sorted().toList();
    } catch (IOException e) {
      throw FileErrors.reading(folder, e);
    }
  }

  /// Reads the schema, and, of a column of lists, the first.
  ///
  /// @param names of the columns; empty: all
  /// @param without the name of a column that is none of all
  /// @throws IOException if it cannot be read, is no Parquet, or a column is missing or does not hold numbers
  static ParquetSamples open(Path path, Role role, List<String> names, Optional<String> without) throws IOException {
    List<Path> files = Files.isDirectory(path) ? parts(path) : List.of(path);
    long samples = 0;
    for (Path file : files) {
      try (ParquetFileReader reader = ParquetFileReader.open(InputFile.of(file))) {
        requireCodecs(file, reader.getFileMetaData());
        samples += reader.getFileMetaData().numRows();
      } catch (IOException | RuntimeException e) {
        throw unreadable(file, e);
      }
    }
    if (samples == 0) {
      throw new FormatException(path, "has no rows");
    }
    try (ParquetFileReader reader = ParquetFileReader.openAll(InputFile.ofPaths(files))) {
      List<ParquetColumn> columns = ParquetColumn.choose(path, reader.getFileSchema().getRootNode().children(), names,
          without);
      int width = columns.getFirst().isList() ? firstLength(path, role, reader, columns.getFirst()) : columns.size();
      return new ParquetSamples(path, role, files, columns, samples, width);
    } catch (IOException | RuntimeException e) {
      throw unreadable(path, e);
    }
  }

  private static void requireCodecs(Path file, FileMetaData content) throws FormatException {
    for (RowGroup group : content.rowGroups()) {
      for (ColumnChunk chunk : group.columns()) {
        CompressionCodec codec = chunk.metaData().codec();
        if (!isRead(codec)) {
          throw new FormatException(file,
              "is compressed by %s, which is not read; write it with compression snappy, gzip or none"
                  .formatted(codec));
        }
      }
    }
  }

  /// All but the first two need libraries of their own; this one brings that of Snappy, programs around it may others.
  private static boolean isRead(CompressionCodec codec) {
    return switch (codec) {
      case UNCOMPRESSED, GZIP -> true;
      case SNAPPY -> hasClass("org.xerial.snappy.Snappy");
      case ZSTD -> hasClass("com.github.luben.zstd.Zstd");
      case LZ4, LZ4_RAW -> hasClass("net.jpountz.lz4.LZ4Factory");
      case BROTLI -> hasClass("com.aayushatharva.brotli4j.Brotli4jLoader");
      case LZO -> false;
    };
  }

  private static boolean hasClass(String name) {
    try {
      Class.forName(name, false, InputFile.class.getClassLoader());
      return true;
    } catch (ClassNotFoundException _) {
      return false;
    }
  }

  /// Hardwood tells damage by exceptions of many kinds.
  private static IOException unreadable(Path path, Exception e) {
    return switch (e) {
      case FormatException known -> known;
      case IOException io when io.getMessage() == null -> FileErrors.reading(path, io);
      default -> new FormatException(path, "is not read as Parquet (%s); check that it is whole"
          .formatted(e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage()), e);
    };
  }

  private static int firstLength(Path path, Role role, ParquetFileReader reader, ParquetColumn column)
      throws IOException {
    try (ColumnReaders readers = reader.buildColumnReaders(ColumnProjection.columns(column.name())).batchSize(1)
        .build()) {
      readers.nextBatch();
      int length = ParquetValues.of(path, role, readers.getColumnReader(0), column).length(0, 0);
      if (length == 0) {
        throw new FormatException(path, "the list in row 1 of column %s is empty".formatted(quote(column.name())));
      }
      return length;
    }
  }

  @Override
  public String name() {
    return path.toString();
  }

  @Override
  public boolean isThreadConfined() {
    return false;
  }

  @Override
  public Pass open() throws IOException {
    try {
      return new ParquetPass(ParquetFileReader.openAll(InputFile.ofPaths(files)));
    } catch (IOException | RuntimeException e) {
      throw unreadable(path, e);
    }
  }

  private final class ParquetPass implements Pass {
    private final ParquetFileReader reader;
    private final ColumnReaders readers;
    private List<ParquetValues> batch = List.of();
    private int rows;
    private int next;
    private long position;

    ParquetPass(ParquetFileReader reader) throws IOException {
      this.reader = reader;
      try {
        readers = reader
            .columnReaders(ColumnProjection.columns(columns.stream().map(ParquetColumn::name).toArray(String[]::new)));
      } catch (RuntimeException e) {
        reader.close();
        throw e;
      }
    }

    @Override
    public int read(MatrixView target) throws IOException {
      try {
        int read = 0;
        while (read < target.rows() && (next < rows || nextBatch())) {
          int count = Math.min(target.rows() - read, rows - next);
          for (int j = 0; j < batch.size(); j++) {
            batch.get(j).copy(next, count, position, target, read, j);
          }
          read += count;
          next += count;
          position += count;
        }
        return read;
      } catch (RuntimeException e) {
        throw unreadable(path, e);
      }
    }

    private boolean nextBatch() {
      if (!readers.nextBatch()) {
        return false;
      }
      List<ParquetValues> found = new ArrayList<>();
      for (ParquetColumn column : columns) {
        ColumnReader own = column.isList() ? readers.getColumnReader(0) : readers.getColumnReader(column.name());
        found.add(ParquetValues.of(path, role, own, column));
      }
      batch = found;
      rows = readers.getRecordCount();
      next = 0;
      return rows > 0;
    }

    @Override
    public void close() throws IOException {
      try (reader; readers) {
        // both, whatever the other throws
      }
    }
  }
}
