package dev.espalier.engine.scoring;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import dev.espalier.engine.pass.ChangePass;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.NetworkReplicas;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The scores of a layer by `ec-nonlinear`: the least mean squared change of the output that the removal of a weight and
/// a change of its bias leave in the true network, and that change of the bias (docs/method.md, nonlinear scores). They
/// take the place of the scores of `ec`, which begin the search for each minimum.
///
/// A pass over the samples tries one change of the bias for each weight of the layer; passes follow until all minima are
/// found.
final class NonlinearScorer {
  private static final Logger LOG = LoggerFactory.getLogger(NonlinearScorer.class);

  private final Backend backend;
  private final DeviceNetwork network;
  private final ScoringPlan.Layer planned;
  private final DeviceNetwork.Layer layer;
  private final Dataset data;
  private final ProgressListener listener;
  private final Workers workers;
  private final int batchSize;

  private NonlinearScorer(Backend backend, DeviceNetwork network, ScoringPlan plan, ScoringPlan.Layer planned,
      Dataset data, ProgressListener listener) {
    this.backend = backend;
    this.network = network;
    this.planned = planned;
    this.data = data;
    this.listener = listener;
    layer = network.layers().get(planned.number());
    long samples = data.samples().samples();
    workers = data.isThreadConfined()
        ? Workers.alone(backend)
        : backend.workers(samples, bytes(network.graph(), planned.number(), plan.batchSize()));
    batchSize = workers.batchSize(samples, plan.batchSize());
  }

  /// Replaces the scores of a layer.
  ///
  /// @param scores those of `ec`; the importances are replaced
  /// @param compensation Δb of `ec`, replaced
  /// @throws UncheckedIOException if a sample cannot be read or is not finite
  static void replace(Backend backend, DeviceNetwork network, ScoringPlan plan, ScoringPlan.Layer planned, Dataset data,
      ProgressListener listener, LayerScores scores, Matrix compensation) {
    new NonlinearScorer(backend, network, plan, planned, data, listener).replace(scores, compensation);
  }

  /// Bytes that a search in layer `l` takes, the values of a batch included.
  static long bytes(Graph graph, int l, int batchSize) {
    long values = graph.nodes().stream().mapToLong(Node::width).sum();
    long columns = graph.layers().get(l).inputWidth() + 1L;
    return ((values + columns) * batchSize + ChangePass.elements(graph, l, batchSize)) * Float.BYTES;
  }

  /// The removal of a weight that is not 0, and the search for the change of the bias that goes with it.
  private record Removal(int row, int column, float weight, Minimisation minimum) {}

  private void replace(LayerScores scores, Matrix compensation) {
    try (Arena arena = Arena.ofShared()) {
      MatrixView importance = backend.download(scores.importance(), arena);
      MatrixView change = backend.download(compensation, arena);
      List<Removal> removals = removals(importance, change, scores.meanSensitivity().orElseThrow(), arena);
      search(removals);
      importance.segment().fill((byte) 0);
      change.segment().fill((byte) 0);
      for (Removal removal : removals) {
        importance.set(removal.row, removal.column, (float) removal.minimum.value());
        change.set(removal.row, removal.column, (float) removal.minimum.argument());
      }
      backend.upload(importance, scores.importance());
      backend.upload(change, compensation);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// While Δb lies between the least and the largest of Wᵢⱼ aⱼ, zᵢ rises at some samples and falls at others; beyond, it
  /// moves one way at all of them.
  ///
  /// @param importance of `ec`
  /// @param change Δb of `ec`
  private List<Removal> removals(MatrixView importance, MatrixView change, float[] sensitivity, Arena arena)
      throws IOException {
    MatrixView weights = backend.download(layer.weights(), arena);
    InputRange range = planned.compensable() ? inputRange() : InputRange.none(layer.inputs());
    List<Removal> removals = new ArrayList<>();
    for (int i = 0; i < weights.rows(); i++) {
      for (int j = 0; j < weights.columns(); j++) {
        float weight = weights.get(i, j);
        if (weight != 0) {
          boolean isKnown = planned.compensable() && sensitivity[i] > 0;
          double width = isKnown ? Math.sqrt(importance.get(i, j) / sensitivity[i]) : 0;
          double start = Float.isFinite(change.get(i, j)) ? change.get(i, j) : 0;
          double one = (double) weight * range.least[j];
          double other = (double) weight * range.most[j];
          removals.add(
              new Removal(i, j, weight, new Minimisation(Math.min(one, other), Math.max(one, other), start, width)));
        }
      }
    }
    return removals;
  }

  /// The least and the largest value of each input of the layer.
  @SuppressWarnings("ArrayRecordComponent")
  private record InputRange(float[] least, float[] most) {
    static InputRange none(int inputs) {
      return new InputRange(new float[inputs], new float[inputs]);
    }
  }

  private InputRange inputRange() throws IOException {
    float[] least = new float[layer.inputs()];
    float[] most = new float[layer.inputs()];
    Arrays.fill(least, Float.POSITIVE_INFINITY);
    Arrays.fill(most, Float.NEGATIVE_INFINITY);
    try (SampleBatches batches = SampleBatches.open(backend, Dataset.of(data.samples()), batchSize);
        ForwardPass forward = ForwardPass.allocate(backend, network.graph(), batchSize)) {
      while (batches.next()) {
        forward.load(batches);
        forward.run(network);
        try (Arena arena = Arena.ofConfined()) {
          MatrixView inputs = backend.onHost(input(forward), arena);
          for (int n = 0; n < inputs.rows(); n++) {
            for (int j = 0; j < least.length; j++) {
              least[j] = Math.min(least[j], inputs.get(n, j));
              most[j] = Math.max(most[j], inputs.get(n, j));
            }
          }
        }
      }
    }
    return new InputRange(least, most);
  }

  /// The input of the layer, which is used once.
  private Matrix input(ForwardPass forward) {
    return forward.inputOf(forward.uses(planned.number())[0]);
  }

  private void search(List<Removal> removals) {
    long samples = data.samples().samples();
    try (Resources temporary = new Resources()) {
      NetworkReplicas networks = temporary.own(NetworkReplicas.of(network, workers));
      List<Share> shares = IntStream.range(0, workers.backends().size())
          .mapToObj(i -> temporary
              .own(Resources.build(resources -> new Share(workers.backends().get(i), networks.of(i), resources))))
          .toList();
      List<Removal> open = removals;
      long trials = 0;
      for (int trial = 1; !open.isEmpty(); trial++) {
        trials += open.size();
        double[] sums = sums(shares, open, "scoring layer %s, trial %s".formatted(layer.name(), trial));
        for (int k = 0; k < sums.length; k++) {
          open.get(k).minimum.take(sums[k] / samples);
        }
        open = open.stream().filter(removal -> !removal.minimum.isDone()).toList();
      }
      LOG.info("layer {}: {} trials for {} weights", layer.name(), trials, removals.size());
    }
  }

  /// The squared changes of the output that the trials of removals make, summed over all samples.
  private double[] sums(List<Share> shares, List<Removal> open, String task) {
    AtomicBoolean isEnded = new AtomicBoolean();
    List<double[]> sums = shares.stream().map(_ -> new double[open.size()]).toList();
    try {
      SampleBatches.share(workers, Dataset.of(data.samples()), batchSize, (i, batches) -> shares.get(i).run(batches,
          open, sums.get(i), task, i == 0 ? listener : ProgressListener.NONE, isEnded));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    double[] all = sums.getFirst();
    sums.stream().skip(1).forEach(sum -> Arrays.setAll(all, k -> all[k] + sum[k]));
    return all;
  }

  /// A worker's share of the samples.
  private final class Share implements Resource {
    private final Backend worker;
    private final DeviceNetwork network;
    private final ForwardPass forward;
    private final ChangePass changes;
    /// The inputs of the layer, one column below the other.
    private final Matrix inputs;
    private final Matrix ones;
    private final Resources resources;

    Share(Backend worker, DeviceNetwork network, Resources resources) {
      this.worker = worker;
      this.network = network;
      this.resources = resources;
      forward = resources.own(ForwardPass.allocate(worker, network.graph(), batchSize));
      changes = resources.own(ChangePass.allocate(worker, network.graph(), planned.number(), batchSize));
      inputs = resources.own(worker.allocate(Math.multiplyExact(layer.inputs(), batchSize), 1));
      ones = resources.own(worker.allocate(batchSize, 1));
      try (Arena arena = Arena.ofConfined()) {
        MatrixView view = MatrixView.allocate(arena, batchSize, 1);
        for (int n = 0; n < batchSize; n++) {
          view.set(n, 0, 1);
        }
        worker.upload(view, ones);
      }
    }

    /// @param sums of the removals, added to
    /// @param isEnded whether another worker has failed
    void run(SampleBatches batches, List<Removal> open, double[] sums, String task, ProgressListener progress,
        AtomicBoolean isEnded) throws IOException {
      try {
        while (batches.next()) {
          load(batches);
          int rows = batches.rows();
          for (int first = 0, end; first < open.size() && !isEnded.get(); first = end) {
            end = first + add(open, first, sums);
            progress.report(task, batches.first() + (long) rows * end / open.size(), batches.total());
          }
        }
      } catch (IOException | RuntimeException | Error e) {
        isEnded.set(true);
        throw e;
      }
    }

    private void load(SampleBatches batch) {
      forward.load(batch);
      forward.run(network);
      for (int j = 0; j < layer.inputs(); j++) {
        worker.network().copyColumns(NonlinearScorer.this.input(forward), j, input(j), 0, 1);
      }
    }

    private Matrix input(int j) {
      return inputs.slice(j * forward.samples(), forward.samples());
    }

    /// Adds the squared changes that a stack of removals from one row makes.
    ///
    /// @return how many they are
    private int add(List<Removal> open, int first, double[] sums) {
      int samples = forward.samples();
      int row = open.get(first).row;
      int count = 1;
      while (count < changes.copies() && first + count < open.size() && open.get(first + count).row == row) {
        count++;
      }
      Matrix start = changes.start(count * samples);
      worker.clear(start);
      for (int c = 0; c < count; c++) {
        Removal removal = open.get(first + c);
        Matrix copy = start.slice(c * samples, samples);
        worker.network().add(-removal.weight, input(removal.column), copy);
        worker.network().add(removal.minimum.trial(), ones.slice(0, samples), copy);
      }
      Matrix output = changes.run(network, forward, row, count * samples);
      for (int c = 0; c < count; c++) {
        Matrix copy = output.slice(c * samples, samples);
        sums[first + c] += worker.solving().dot(copy, copy);
      }
      return count;
    }

    @Override
    public void close() {
      resources.close();
    }
  }
}
