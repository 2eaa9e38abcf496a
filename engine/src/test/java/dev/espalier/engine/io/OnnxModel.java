package dev.espalier.engine.io;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.random.RandomGenerator;

/// Writes ONNX models of a few nodes.
public final class OnnxModel {
  private static final int VARINT = 0;
  private static final int BYTES = 2;
  private static final int FIXED_32 = 5;
  private static final int FLOAT = 1;
  private static final int INT64 = 7;
  private static final int DOUBLE = 11;
  /// The domain of the operators that scikit-learn's models become.
  private static final String LEARNING = "ai.onnx.ml";

  private final ByteArrayOutputStream graph = new ByteArrayOutputStream();
  private int nodes;
  private boolean isOfLearning;

  /// A model that reads `x` and gives `y`, both float32.
  ///
  /// @param shape of the input, 0 where it is the number of samples
  public OnnxModel(long... shape) {
    text(graph, 2, "test");
    bytes(graph, 11, value("x", shape));
    bytes(graph, 12, value("y", new long[0]));
  }

  /// Adds an input.
  public OnnxModel input(String name, long... shape) {
    bytes(graph, 11, value(name, shape));
    return this;
  }

  /// Adds an output.
  public OnnxModel output(String name) {
    bytes(graph, 12, value(name, new long[0]));
    return this;
  }

  private static byte[] value(String name, long... shape) {
    ByteArrayOutputStream dimensions = new ByteArrayOutputStream();
    for (long dimension : shape) {
      ByteArrayOutputStream each = new ByteArrayOutputStream();
      if (dimension == 0) {
        text(each, 2, "n");
      } else {
        integer(each, 1, dimension);
      }
      bytes(dimensions, 1, each.toByteArray());
    }
    ByteArrayOutputStream tensor = new ByteArrayOutputStream();
    integer(tensor, 1, FLOAT);
    if (shape.length > 0) {
      bytes(tensor, 2, dimensions.toByteArray());
    }
    ByteArrayOutputStream type = new ByteArrayOutputStream();
    bytes(type, 1, tensor.toByteArray());
    ByteArrayOutputStream value = new ByteArrayOutputStream();
    text(value, 1, name);
    bytes(value, 2, type.toByteArray());
    return value.toByteArray();
  }

  /// Adds a node of one output.
  ///
  /// @param inputs   names, separated by spaces
  /// @param attributes names and values in turn: a number, a list of integers or of float32, a text, a tensor, or a graph
  public OnnxModel node(String operator, String inputs, String output, Object... attributes) {
    ByteArrayOutputStream node = new ByteArrayOutputStream();
    for (String input : inputs.isEmpty() ? new String[0] : inputs.split(" ", -1)) {
      text(node, 1, input);
    }
    for (String each : output.split(" ", -1)) {
      text(node, 2, each);
    }
    text(node, 3, operator.toLowerCase(Locale.ROOT) + nodes++);
    text(node, 4, operator);
    if (operator.equals("Scaler")) {
      text(node, 7, LEARNING);
      isOfLearning = true;
    }
    for (int a = 0; a < attributes.length; a += 2) {
      bytes(node, 5, attribute((String) attributes[a], attributes[a + 1]));
    }
    bytes(graph, 1, node.toByteArray());
    return this;
  }

  private static byte[] attribute(String name, Object value) {
    ByteArrayOutputStream attribute = new ByteArrayOutputStream();
    text(attribute, 1, name);
    switch (value) {
      case Integer number -> {
        integer(attribute, 3, number);
        integer(attribute, 20, 2);
      }
      case Float number -> {
        fixed(attribute, 2, number);
        integer(attribute, 20, 1);
      }
      case String string -> {
        text(attribute, 4, string);
        integer(attribute, 20, 3);
      }
      case byte[] tensor -> {
        bytes(attribute, 5, tensor);
        integer(attribute, 20, 4);
      }
      case OnnxModel inner -> {
        bytes(attribute, 6, inner.graph.toByteArray());
        integer(attribute, 20, 5);
      }
      case List<?> numbers -> {
        for (Object number : numbers) {
          if (number instanceof Float decimal) {
            fixed(attribute, 7, decimal);
          } else {
            integer(attribute, 8, (Integer) number);
          }
        }
        integer(attribute, 20, numbers.getFirst() instanceof Float ? 6 : 7);
      }
      default -> throw new AssertionError(value);
    }
    return attribute.toByteArray();
  }

  /// Adds a constant of normal numbers, scaled by 1/√(last dimension).
  public OnnxModel normal(String name, RandomGenerator random, long... shape) {
    int elements = 1;
    for (long dimension : shape) {
      elements *= (int) dimension;
    }
    float[] values = new float[elements];
    for (int i = 0; i < elements; i++) {
      values[i] = (float) (random.nextGaussian() / Math.sqrt((double) shape[shape.length - 1]));
    }
    return floats(name, shape, values);
  }

  /// Adds a constant.
  public OnnxModel floats(String name, long[] shape, float... values) {
    ByteBuffer data = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    data.asFloatBuffer().put(values);
    return tensor(name, FLOAT, data.array(), shape);
  }

  /// Adds a constant of float64, of one dimension.
  OnnxModel doubles(String name, double... values) {
    ByteBuffer data = ByteBuffer.allocate(8 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    data.asDoubleBuffer().put(values);
    return tensor(name, DOUBLE, data.array(), values.length);
  }

  /// A tensor of one dimension, for a node's attribute.
  static byte[] tensor(float... values) {
    ByteBuffer data = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    data.asFloatBuffer().put(values);
    return message("", FLOAT, data.array(), values.length);
  }

  /// Adds a constant whose elements lie in another file.
  ///
  /// @param entries keys and values in turn, such as `location`
  public OnnxModel outside(String name, long[] shape, String... entries) {
    bytes(graph, 5, outsideTensor(name, shape, entries));
    return this;
  }

  /// As the other, of a data type by its number in ONNX.
  OnnxModel outside(String name, int type, long[] shape, String... entries) {
    bytes(graph, 5, outsideTensor(name, type, shape, entries));
    return this;
  }

  /// A tensor whose elements lie in another file.
  static byte[] outsideTensor(String name, long[] shape, String... entries) {
    return outsideTensor(name, FLOAT, shape, entries);
  }

  private static byte[] outsideTensor(String name, int type, long[] shape, String... entries) {
    ByteArrayOutputStream tensor = new ByteArrayOutputStream();
    for (long dimension : shape) {
      integer(tensor, 1, dimension);
    }
    integer(tensor, 2, type);
    text(tensor, 8, name);
    for (int e = 0; e < entries.length; e += 2) {
      ByteArrayOutputStream entry = new ByteArrayOutputStream();
      text(entry, 1, entries[e]);
      text(entry, 2, entries[e + 1]);
      bytes(tensor, 13, entry.toByteArray());
    }
    integer(tensor, 14, 1);
    return tensor.toByteArray();
  }

  /// Adds a constant of whole numbers, of one dimension.
  public OnnxModel integers(String name, long... values) {
    ByteBuffer data = ByteBuffer.allocate(8 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    data.asLongBuffer().put(values);
    return tensor(name, INT64, data.array(), values.length);
  }

  private OnnxModel tensor(String name, int type, byte[] data, long... shape) {
    bytes(graph, 5, message(name, type, data, shape));
    return this;
  }

  private static byte[] message(String name, int type, byte[] data, long... shape) {
    ByteArrayOutputStream tensor = new ByteArrayOutputStream();
    for (long dimension : shape) {
      integer(tensor, 1, dimension);
    }
    integer(tensor, 2, type);
    text(tensor, 8, name);
    bytes(tensor, 9, data);
    return tensor.toByteArray();
  }

  /// Adds a sparse constant.
  ///
  /// @param indices places, or a coordinate for each dimension
  /// @param perValue how many indices a value has
  public OnnxModel sparse(String name, long[] shape, long[] indices, int perValue, float... values) {
    ByteBuffer data = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    data.asFloatBuffer().put(values);
    ByteBuffer places = ByteBuffer.allocate(8 * indices.length).order(ByteOrder.LITTLE_ENDIAN);
    places.asLongBuffer().put(indices);
    ByteArrayOutputStream tensor = new ByteArrayOutputStream();
    bytes(tensor, 1, message(name, FLOAT, data.array(), values.length));
    bytes(tensor, 2,
        perValue == 1
            ? message("", INT64, places.array(), indices.length)
            : message("", INT64, places.array(), (long) indices.length / perValue, perValue));
    for (long dimension : shape) {
      integer(tensor, 3, dimension);
    }
    bytes(graph, 15, tensor.toByteArray());
    return this;
  }

  /// The file, of operator set `opset`.
  public byte[] bytes(int opset) {
    ByteArrayOutputStream set = new ByteArrayOutputStream();
    text(set, 1, "");
    integer(set, 2, opset);
    ByteArrayOutputStream model = new ByteArrayOutputStream();
    integer(model, 1, 8);
    bytes(model, 8, set.toByteArray());
    if (isOfLearning) {
      ByteArrayOutputStream learning = new ByteArrayOutputStream();
      text(learning, 1, LEARNING);
      integer(learning, 2, 3);
      bytes(model, 8, learning.toByteArray());
    }
    bytes(model, 7, graph.toByteArray());
    return model.toByteArray();
  }

  private static void key(ByteArrayOutputStream out, int field, int wire) {
    varint(out, (long) field << 3 | wire);
  }

  private static void varint(ByteArrayOutputStream out, long value) {
    long rest = value;
    while ((rest & ~0x7fL) != 0) {
      out.write((int) ((rest & 0x7f) | 0x80));
      rest >>>= 7;
    }
    out.write((int) rest);
  }

  private static void integer(ByteArrayOutputStream out, int field, long value) {
    key(out, field, VARINT);
    varint(out, value);
  }

  private static void fixed(ByteArrayOutputStream out, int field, float value) {
    key(out, field, FIXED_32);
    out.writeBytes(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putFloat(value).array());
  }

  private static void bytes(ByteArrayOutputStream out, int field, byte[] value) {
    key(out, field, BYTES);
    varint(out, value.length);
    out.writeBytes(value);
  }

  private static void text(ByteArrayOutputStream out, int field, String value) {
    bytes(out, field, value.getBytes(StandardCharsets.UTF_8));
  }
}
