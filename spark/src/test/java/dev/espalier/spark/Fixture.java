package dev.espalier.spark;

import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;

/// Random samples, a random network 5-12-9-3, and a Spark of two threads.
public final class Fixture {
  static final int INPUTS = 5;
  static final int SAMPLES = 300;
  static final StructType ARRAYS = new StructType().add("x", DataTypes.createArrayType(DataTypes.FloatType));
  private static final int[] WIDTHS = {INPUTS, 12, 9, 3};

  private Fixture() {}

  /// The session of all tests; a task may fail twice.
  public static SparkSession spark() {
    return SparkSession.builder().master("local[2,3]").config("spark.ui.enabled", false)
        .config("spark.shuffle.compress", false).config("spark.sql.shuffle.partitions", 2).getOrCreate();
  }

  /// Samples × inputs, with means and spreads that differ.
  static float[][] samples() {
    Random random = new Random(1);
    float[][] samples = new float[SAMPLES][INPUTS];
    for (float[] sample : samples) {
      for (int j = 0; j < INPUTS; j++) {
        sample[j] = (float) (j + (1 + j) * random.nextGaussian());
      }
    }
    return samples;
  }

  static MatrixSamples onOneMachine(Arena arena) {
    return onOneMachine(arena, samples());
  }

  static MatrixSamples onOneMachine(Arena arena, float[]... samples) {
    MatrixView rows = MatrixView.allocate(arena, SAMPLES, INPUTS);
    for (int i = 0; i < SAMPLES; i++) {
      rows.store(samples[i], INPUTS, (long) i * INPUTS);
    }
    return new MatrixSamples("x", rows);
  }

  /// The samples in arrays of the column `x`; the same rows in each computation of a partition.
  static Dataset<Row> arrays(int partitions) {
    return arrays(partitions, samples());
  }

  static Dataset<Row> arrays(int partitions, float[]... samples) {
    return spark().createDataFrame(arrayRows(partitions, samples), ARRAYS);
  }

  static JavaRDD<Row> arrayRows(int partitions) {
    return arrayRows(partitions, samples());
  }

  static JavaRDD<Row> arrayRows(int partitions, float[]... samples) {
    List<Row> rows = new ArrayList<>();
    for (float[] sample : samples) {
      rows.add(RowFactory.create((Object) boxed(sample)));
    }
    return context().parallelize(rows, partitions);
  }

  static Float[] boxed(float... values) {
    Float[] boxed = new Float[values.length];
    for (int i = 0; i < values.length; i++) {
      boxed[i] = values[i];
    }
    return boxed;
  }

  /// The samples in columns `a`, `b`, … of double, beside an `id` of text.
  public static Dataset<Row> columns(int partitions) {
    StructType schema = new StructType();
    for (int j = 0; j < INPUTS; j++) {
      schema = schema.add(String.valueOf((char) ('a' + j)), DataTypes.DoubleType);
    }
    List<Row> rows = new ArrayList<>();
    for (float[] sample : samples()) {
      Object[] cells = new Object[INPUTS + 1];
      for (int j = 0; j < INPUTS; j++) {
        cells[j] = (double) sample[j];
      }
      cells[INPUTS] = "row";
      rows.add(RowFactory.create(cells));
    }
    return spark().createDataFrame(context().parallelize(rows, partitions), schema.add("id", DataTypes.StringType));
  }

  static JavaSparkContext context() {
    return JavaSparkContext.fromSparkContext(spark().sparkContext());
  }

  public static DenseNetwork network(Arena arena) {
    Random random = new Random(2);
    return new DenseNetwork(IntStream.range(1, WIDTHS.length).mapToObj(l -> layer(random, l, arena)).toList());
  }

  /// The largest magnitude of each input of layer `l` times that of a weight that reads it.
  static double[] largestInputs(DenseNetwork network, int l) {
    double[] largest = new double[network.layers().get(l).inputs()];
    for (float[] sample : samples()) {
      double[] a = new double[sample.length];
      for (int j = 0; j < a.length; j++) {
        a[j] = sample[j];
      }
      for (int k = 0; k < l; k++) {
        a = activation(network.layers().get(k), a);
      }
      for (int j = 0; j < a.length; j++) {
        for (int i = 0; i < network.layers().get(l).outputs(); i++) {
          largest[j] = Math.max(largest[j], Math.abs(a[j] * network.layers().get(l).weights().get(i, j)));
        }
      }
    }
    return largest;
  }

  private static double[] activation(DenseLayer layer, double... a) {
    double[] next = new double[layer.outputs()];
    for (int i = 0; i < next.length; i++) {
      double z = layer.bias().orElseThrow().get(0, i);
      for (int j = 0; j < a.length; j++) {
        z += layer.weights().get(i, j) * a[j];
      }
      next[i] = Math.max(0, z);
    }
    return next;
  }

  private static DenseLayer layer(Random random, int l, Arena arena) {
    int outputs = WIDTHS[l];
    int inputs = WIDTHS[l - 1];
    boolean isLast = l == WIDTHS.length - 1;
    return new DenseLayer("layer" + l, values(random, outputs, inputs, arena),
        Optional.of(values(random, 1, outputs, arena)), isLast ? Activation.IDENTITY : Activation.RELU);
  }

  private static MatrixView values(Random random, int rows, int columns, Arena arena) {
    MatrixView matrix = MatrixView.allocate(arena, rows, columns);
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        matrix.set(i, j, (float) (random.nextGaussian() / Math.sqrt(columns)));
      }
    }
    return matrix;
  }
}
