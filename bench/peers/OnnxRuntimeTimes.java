import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.Random;

/// Times ONNX Runtime as `espalier time` times: `OnnxRuntimeTimes THREADS BATCH,BATCH MODEL...` prints a line of JSON for
/// each model and size of batches, with the median and the quartiles of the seconds of a call.
final class OnnxRuntimeTimes {
  private static final int ROUNDS = 25;
  private static final double WARM_UP = 0.25;
  private static final double SAMPLE = 2e-3;

  private OnnxRuntimeTimes() {}

  public static void main(String... arguments) throws OrtException {
    OrtEnvironment environment = OrtEnvironment.getEnvironment();
    for (String model : Arrays.copyOfRange(arguments, 2, arguments.length)) {
      OrtSession.SessionOptions options = new OrtSession.SessionOptions();
      options.setIntraOpNumThreads(Integer.parseInt(arguments[0]));
      try (OrtSession session = environment.createSession(model, options)) {
        for (String batch : arguments[1].split(",")) {
          time(environment, session, model, Integer.parseInt(batch));
        }
      }
    }
  }

  private static void time(OrtEnvironment environment, OrtSession session, String model, int batch)
      throws OrtException {
    String input = session.getInputNames().iterator().next();
    long[] shape = ((TensorInfo) session.getInputInfo().get(input).getInfo()).getShape();
    shape[0] = batch;
    int elements = (int) Arrays.stream(shape).reduce(1, Math::multiplyExact);
    FloatBuffer samples = ByteBuffer.allocateDirect(4 * elements).order(ByteOrder.nativeOrder()).asFloatBuffer();
    Random random = new Random(1);
    while (samples.hasRemaining()) {
      samples.put(random.nextFloat());
    }
    samples.rewind();
    try (OnnxTensor x = OnnxTensor.createTensor(environment, samples, shape)) {
      Map<String, OnnxTensor> inputs = Map.of(input, x);
      int calls = 1;
      double last = 0;
      for (double spent = 0; spent < WARM_UP; spent += last * calls) {
        last = run(session, inputs, calls);
      }
      calls = (int) Math.max(1, Math.ceil(SAMPLE / last));
      double[] seconds = new double[ROUNDS];
      for (int round = 0; round < ROUNDS; round++) {
        seconds[round] = run(session, inputs, calls);
      }
      Arrays.sort(seconds);
      System.out.printf(Locale.ROOT,
          "{\"model\": \"%s\", \"batch\": %d, \"seconds\": %.9f, \"lower_quartile\": %.9f, \"upper_quartile\": %.9f}%n",
          Path.of(model).getFileName(), batch, seconds[ROUNDS / 2], seconds[ROUNDS / 4], seconds[ROUNDS * 3 / 4]);
    }
  }

  private static double run(OrtSession session, Map<String, OnnxTensor> inputs, int calls) throws OrtException {
    long start = System.nanoTime();
    for (int call = 0; call < calls; call++) {
      session.run(inputs).close();
    }
    return (System.nanoTime() - start) * 1e-9 / calls;
  }
}
