package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.Nouns;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.json.JsonFactory;

/// The JSON header of a safetensors file: one object with a member per tensor and, optionally, one of
/// metadata.
///
/// @param metadata in the order of the header
/// @param entries in the order of the header
record SafetensorsHeader(Map<String, String> metadata, List<Entry> entries) {
  /// What the header says of a tensor; its bytes are those from `begin` to `end` of what follows the header.
  record Entry(String name, DType dtype, List<Long> shape, long begin, long end) {}

  /// The name under which the metadata stand among the tensors.
  static final String METADATA = "__metadata__";

  /// The limit that the format's own library sets.
  static final long LONGEST = 100_000_000;

  static final int MOST_DIMENSIONS = 64;
  private static final int ALIGNMENT = 8;
  /// Reads untrusted JSON.
  static final JsonFactory JSON = JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
      .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(3).maxStringLength((int) LONGEST)
          .maxNameLength((int) LONGEST).build())
      .build();

  /// Reads and checks a header.
  ///
  /// @param file what messages name
  /// @param dataBytes bytes that follow the header; the tensors must cover them exactly
  /// @throws FormatException if anything is not as the format demands
  static SafetensorsHeader parse(Path file, byte[] json, long dataBytes) throws FormatException {
    if (json.length == 0 || json[0] != '{') {
      throw new FormatException(file, "the header is not a JSON object; is this a safetensors file?");
    }
    var utf8 = new InputStreamReader(new ByteArrayInputStream(json), StandardCharsets.UTF_8.newDecoder());
    try (JsonParser parser = JSON.createParser(ObjectReadContext.empty(), utf8)) {
      SafetensorsHeader header = new Reader(file, parser).header();
      header.checkCover(file, dataBytes);
      return header;
    } catch (JacksonException e) {
      throw new FormatException(file,
          "the header is not the JSON of a safetensors file (%s)".formatted(e.getOriginalMessage()), e);
    }
  }

  /// The header as JSON, padded with spaces to a multiple of 8 bytes.
  byte[] toJson() {
    var bytes = new ByteArrayOutputStream();
    try (JsonGenerator json = JSON.createGenerator(ObjectWriteContext.empty(), bytes)) {
      json.writeStartObject();
      if (!metadata.isEmpty()) {
        json.writeObjectPropertyStart(METADATA);
        metadata.forEach(json::writeStringProperty);
        json.writeEndObject();
      }
      for (Entry entry : entries) {
        json.writeObjectPropertyStart(entry.name);
        json.writeStringProperty("dtype", entry.dtype.name());
        json.writeArrayPropertyStart("shape");
        entry.shape.forEach(json::writeNumber);
        json.writeEndArray();
        json.writeArrayPropertyStart("data_offsets").writeNumber(entry.begin).writeNumber(entry.end);
        json.writeEndArray();
        json.writeEndObject();
      }
      json.writeEndObject();
    }
    while (bytes.size() % ALIGNMENT != 0) {
      bytes.write(' ');
    }
    return bytes.toByteArray();
  }

  /// The tensors, one after the other, are the data: no overlap, no hole, nothing before or behind.
  private void checkCover(Path file, long dataBytes) throws FormatException {
    long covered = 0;
    String last = "the header";
    List<Entry> inDataOrder = new ArrayList<>(entries);
    inDataOrder.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
    for (Entry entry : inDataOrder) {
      if (entry.end > dataBytes) {
        throw new FormatException(file, "tensor %s: data_offsets [%d, %d] end past the data of %d bytes; copy the"
            .formatted(quote(entry.name), entry.begin, entry.end, dataBytes) + " file again");
      }
      if (entry.begin < covered) {
        throw new FormatException(file,
            "tensors %s and %s overlap; create the file again".formatted(last, quote(entry.name)));
      }
      if (entry.begin > covered) {
        throw new FormatException(file, "%d bytes between %s and tensor %s belong to no tensor; create the file"
            .formatted(entry.begin - covered, last, quote(entry.name)) + " again");
      }
      covered = entry.end;
      last = quote(entry.name);
    }
    if (covered != dataBytes) {
      throw new FormatException(file, "has %s behind the last tensor; copy or create it again"
          .formatted(Nouns.counted(dataBytes - covered, "byte")));
    }
  }

  /// Checks the length that the first eight bytes of a file give.
  static void checkLength(Path file, long headerBytes, long bytesLeft) throws FormatException {
    if (headerBytes < 0 || headerBytes > LONGEST) {
      throw new FormatException(file, "a header of %s bytes is beyond the limit of %d; is this a safetensors file?"
          .formatted(Long.toUnsignedString(headerBytes), LONGEST));
    }
    if (headerBytes > bytesLeft) {
      throw new FormatException(file,
          "the header has %d bytes, but only %d are left; copy the file again".formatted(headerBytes, bytesLeft));
    }
  }

  /// Reads the header token by token, so that nothing unexpected is ever built.
  private record Reader(Path file, JsonParser parser) {
    SafetensorsHeader header() throws FormatException {
      Map<String, String> metadata = Map.of();
      List<Entry> entries = new ArrayList<>();
      expect(JsonToken.START_OBJECT, "the header");
      for (String name = parser.nextName(); name != null; name = parser.nextName()) {
        if (name.equals(METADATA)) {
          metadata = metadata();
        } else {
          entries.add(entry(name));
        }
      }
      if (parser.nextToken() != null) {
        throw new FormatException(file, "something follows the JSON object of the header");
      }
      return new SafetensorsHeader(metadata, entries);
    }

    private Map<String, String> metadata() throws FormatException {
      Map<String, String> metadata = new LinkedHashMap<>();
      expect(JsonToken.START_OBJECT, METADATA);
      for (String key = parser.nextName(); key != null; key = parser.nextName()) {
        expect(JsonToken.VALUE_STRING, "the metadata " + quote(key));
        metadata.put(key, parser.getString());
      }
      return metadata;
    }

    private Entry entry(String name) throws FormatException {
      String what = "tensor " + quote(name);
      String dtypeName = null;
      List<Long> shape = null;
      List<Long> offsets = null;
      expect(JsonToken.START_OBJECT, what);
      for (String key = parser.nextName(); key != null; key = parser.nextName()) {
        switch (key) {
          case "dtype" -> {
            expect(JsonToken.VALUE_STRING, what + ": dtype");
            dtypeName = parser.getString();
          }
          case "shape" -> shape = integers(what + ": shape");
          case "data_offsets" -> offsets = integers(what + ": data_offsets");
          default -> throw new FormatException(file, what + ": unknown member " + quote(key));
        }
      }
      if (dtypeName == null || shape == null || offsets == null || offsets.size() != 2) {
        throw new FormatException(file, what + ": dtype, shape and two data_offsets are needed");
      }
      String unknown = what + ": unknown dtype " + quote(dtypeName);
      DType dtype = DType.named(dtypeName).orElseThrow(() -> new FormatException(file, unknown));
      return checked(what, new Entry(name, dtype, List.copyOf(shape), offsets.get(0), offsets.get(1)));
    }

    private Entry checked(String what, Entry entry) throws FormatException {
      if (entry.begin > entry.end) {
        throw new FormatException(file,
            "%s: data_offsets [%d, %d] run backwards".formatted(what, entry.begin, entry.end));
      }
      long bits;
      try {
        bits = entry.shape.stream().reduce((long) entry.dtype.bits(), Math::multiplyExact);
      } catch (ArithmeticException e) {
        throw new FormatException(file, "%s: shape %s is too large".formatted(what, entry.shape), e);
      }
      if (bits % Byte.SIZE != 0 || bits / Byte.SIZE != entry.end - entry.begin) {
        throw new FormatException(file, "%s: shape %s of %s needs %d bits, but its data_offsets hold %d bytes"
            .formatted(what, entry.shape, entry.dtype, bits, entry.end - entry.begin));
      }
      return entry;
    }

    private List<Long> integers(String what) throws FormatException {
      List<Long> values = new ArrayList<>();
      expect(JsonToken.START_ARRAY, what);
      while (parser.nextToken() == JsonToken.VALUE_NUMBER_INT && values.size() < MOST_DIMENSIONS) {
        long value = parser.getLongValue();
        if (value < 0) {
          throw new FormatException(file, "%s: %d is negative".formatted(what, value));
        }
        values.add(value);
      }
      if (parser.currentToken() != JsonToken.END_ARRAY) {
        throw new FormatException(file, "%s is not a list of at most %d integers".formatted(what, MOST_DIMENSIONS));
      }
      return values;
    }

    private void expect(JsonToken token, String what) throws FormatException {
      if (parser.nextToken() != token) {
        String expected = switch (token) {
          case START_OBJECT -> "an object";
          case START_ARRAY -> "a list";
          default -> "a string";
        };
        throw new FormatException(file, "%s is not %s in the header".formatted(what, expected));
      }
    }
  }
}
