package dev.espalier.engine.io;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// How a file keeps the weights of a layer without their zeros.
public enum SparseForm {
  /// Compressed rows, in safetensors: for each row the number of its first value, for each value its column.
  CSR("csr"),
  /// A `sparse_initializer`, in ONNX: for each value its place.
  COO("coo"),
  /// Two of every four adjacent weights of a row, in safetensors: for each its place among the four.
  TWO_OF_FOUR("2:4");

  private final String text;

  SparseForm(String text) {
    this.text = text;
  }

  /// @throws IllegalArgumentException if the text names none
  public static SparseForm parse(String text) {
    return Stream.of(values()).filter(form -> form.text.equals(text)).findFirst()
        .orElseThrow(() -> new IllegalArgumentException("'%s' is no form of sparse weights: use %s".formatted(text,
            Stream.of(values()).map(SparseForm::toString).collect(Collectors.joining(", ")))));
  }

  /// The forms that a format has.
  ///
  /// @param onnx whether it is ONNX, else it is safetensors
  public static List<SparseForm> of(boolean onnx) {
    return onnx ? List.of(COO) : List.of(CSR, TWO_OF_FOUR);
  }

  /// The bytes of a matrix in this form, without its names and shape; empty if it has more than two values among four.
  ///
  /// @param dtype of the values in the file
  OptionalLong bytes(Tensor matrix, DType dtype) {
    long rows = matrix.shape().getFirst();
    long columns = matrix.shape().getLast();
    return switch (this) {
      case CSR -> {
        long values = values(matrix);
        long index = SparseTensors.index(columns, values).bytes();
        yield OptionalLong.of(values * (dtype.bytes() + index) + (rows + 1) * index);
      }
      case COO -> OptionalLong.of(values(matrix) * (dtype.bytes() + Long.BYTES));
      case TWO_OF_FOUR -> isTwoOfFour(matrix)
          ? OptionalLong.of(matrix.elements() / 2 * dtype.bytes() + rows * SparseTensors.pairBytes(columns))
          : OptionalLong.empty();
    };
  }

  /// The matrices, by number, that become smaller in this form, unless they have so few values that the file would not be
  /// read again ([SparseLimit]).
  static List<Integer> smaller(List<Tensor> matrices, SparseForm form) {
    List<Integer> smaller = new ArrayList<>();
    long dense = 0;
    long sparse = 0;
    for (int m = 0; m < matrices.size(); m++) {
      Tensor matrix = matrices.get(m);
      long bytes = form.bytes(matrix, matrix.dtype()).orElse(Long.MAX_VALUE);
      long before = matrix.data().byteSize();
      if (bytes < before && SparseLimit.allows(sparse + bytes, dense + before)) {
        smaller.add(m);
        dense += before;
        sparse += bytes;
      }
    }
    return smaller;
  }

  /// Refuses that no layer becomes smaller.
  static void requireSmaller(SafetensorsFile file, List<?> smaller, SparseForm form) throws FormatException {
    if (smaller.isEmpty()) {
      throw new FormatException(file.path(), "no layer becomes smaller as %s; prune it first%s".formatted(form,
          form == TWO_OF_FOUR ? ", with the scope 2:4" : ""));
    }
  }

  /// Writes safetensors with some matrices in this form.
  ///
  /// @throws FormatException if there are none
  static void write(AtomicOutputs outputs, SafetensorsFile file, List<Tensor> matrices, Path target, SparseForm form,
      boolean overwrite) throws IOException {
    requireSmaller(file, matrices, form);
    try (Arena arena = Arena.ofConfined()) {
      Set<String> names = matrices.stream().map(Tensor::name).collect(Collectors.toSet());
      SafetensorsWriter.rewrite(outputs, SparseTensors.sparse(file, names, form, arena), target, overwrite, Map.of(),
          Set.of(), List.of());
    }
  }

  /// Elements that are not zero.
  static long values(Tensor matrix) {
    long values = 0;
    for (long i = 0; i < matrix.elements(); i++) {
      values += isZero(matrix, i) ? 0 : 1;
    }
    return values;
  }

  private static boolean isTwoOfFour(Tensor matrix) {
    if (matrix.shape().getLast() % SparseTensors.GROUP != 0) {
      return false;
    }
    for (long first = 0; first < matrix.elements(); first += SparseTensors.GROUP) {
      int values = 0;
      for (int i = 0; i < SparseTensors.GROUP; i++) {
        values += isZero(matrix, first + i) ? 0 : 1;
      }
      if (values > 2) {
        return false;
      }
    }
    return true;
  }

  /// Whether an element is zero, of either sign.
  static boolean isZero(Tensor tensor, long element) {
    return tensor.dtype() == DType.F32
        ? tensor.dtype().read(tensor.data(), element) == 0
        : tensor.dtype().value(tensor.data(), element, LITTLE_ENDIAN) == 0;
  }

  @Override
  public String toString() {
    return text;
  }
}
