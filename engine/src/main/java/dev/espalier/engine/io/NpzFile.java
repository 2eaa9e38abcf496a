package dev.espalier.engine.io;

import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.io.ArrayFormat.Role;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/// numpy's `.npz`: a zip archive of `.npy` files, stored or deflated.
final class NpzFile {
  private static final String EXTENSION = ".npy";

  private NpzFile() {}

  /// @param array the array to read; null for the usual one of `role`
  /// @param inputs of the model that arrays may be named after
  static SampleSource open(Path file, String array, Role role, List<ModelInput> inputs) throws IOException {
    try (ZipFile zip = new ZipFile(file.toFile())) {
      List<String> arrays = new ArrayList<>();
      zip.stream().map(ZipEntry::getName).filter(entry -> entry.endsWith(EXTENSION))
          .forEach(entry -> arrays.add(entry.substring(0, entry.length() - EXTENSION.length())));
      Optional<SampleSource> named = NamedArrays.open(file, arrays, inputs, name -> open(file, zip, name, role));
      return named.isPresent() ? named.get() : open(file, zip, SampleFiles.choose(file, array, role, arrays), role);
    } catch (IOException e) {
      throw FileErrors.reading(file, e);
    }
  }

  private static SampleSource open(Path file, ZipFile zip, String array, Role role) throws IOException {
    String name = file + ":" + array;
    String entry = array + EXTENSION;
    try (InputStream in = zip.getInputStream(zip.getEntry(entry))) {
      ArrayFormat format = NpyHeader.read(in, name, role);
      format.checkEnd(zip.getEntry(entry).getSize());
      return new StreamedSamples(format, () -> stream(file, entry, name));
    }
  }

  private static InputStream stream(Path file, String entryName, String name) throws IOException {
    InputFile.length(file);
    ZipFile zip = new ZipFile(file.toFile());
    try {
      ZipEntry entry = zip.getEntry(entryName);
      if (entry == null) {
        throw new FormatException(name, "is gone since the file was opened; start again");
      }
      return new EntryStream(zip, entry, name);
    } catch (IOException | RuntimeException e) {
      zip.close();
      throw e;
    }
  }

  /// One entry; compares its checksum at the end, which `ZipFile` does not, and closes the archive.
  private static final class EntryStream extends CheckedInputStream {
    private final ZipFile zip;
    private final long checksum;
    private final String name;

    EntryStream(ZipFile zip, ZipEntry entry, String name) throws IOException {
      super(zip.getInputStream(entry), new CRC32());
      this.zip = zip;
      this.checksum = entry.getCrc();
      this.name = name;
    }

    @Override
    public int read() throws IOException {
      return checked(super.read());
    }

    @Override
    public int read(byte[] buffer, int offset, int length) throws IOException {
      return checked(super.read(buffer, offset, length));
    }

    private int checked(int result) throws FormatException {
      if (result < 0 && getChecksum().getValue() != checksum) {
        throw new FormatException(name, "is damaged (wrong checksum); copy or create it again");
      }
      return result;
    }

    @Override
    public void close() throws IOException {
      zip.close();
    }
  }
}
