package dev.espalier.spark;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.RadixSelection;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.scoring.CancelledInputs;
import dev.espalier.engine.scoring.OneLayerScorer;
import dev.espalier.engine.scoring.OneLayerScorer.Rounding;
import dev.espalier.engine.scoring.RemoteScores;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Sums;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.storage.StorageLevel;

/// Sums and scores that stay on the executors, in their memory or on their disks, until this is closed. A task scores a
/// layer. Weights are selected by histograms of the scores' bits, which executors count and the driver adds; then the
/// driver fetches the sums of one layer at a time, from which it has the same scores.
final class ScoresOnExecutors implements RemoteScores {
  /// Scores of a piece of a layer.
  private static final int PIECE = 1 << 22;

  private final PartitionedSamples samples;
  private final Backend backend;
  private final DeviceNetwork network;
  private final ScoringPlan plan;
  private final LayerTask.Scope scope;
  private final List<JavaRDD<?>> kept = new ArrayList<>();
  private Tiles tiles;
  private JavaRDD<byte[]> totals;
  private JavaRDD<float[]> scores;
  private double typical;

  private ScoresOnExecutors(PartitionedSamples samples, Backend backend, DeviceNetwork network, ScoringPlan plan,
      LayerTask.Scope scope, Tiles tiles) {
    this.samples = samples;
    this.backend = backend;
    this.network = network;
    this.plan = plan;
    this.scope = scope;
    this.tiles = tiles;
  }

  /// How variances that have cancelled are summed.
  interface Variances {
    PartitionWork work(Map<String, CancelledInputs> inputs);
  }

  /// Sums and scores.
  ///
  /// @param network the one that is scored, in the memory of the driver's `backend`
  /// @param plan of it
  /// @param side as of [Tiles]
  /// @throws IOException as [PartitionedSamples#sums]
  static ScoresOnExecutors of(PartitionedSamples samples, Backend backend, DeviceNetwork network, PruningPlan plan,
      LayerTask.Scope scope, int side, PartitionWork work, Variances variances) throws IOException {
    ScoresOnExecutors scores = new ScoresOnExecutors(samples, backend, network, plan.scoring(), scope,
        Tiles.of(plan, side));
    try {
      scores.totals = scores.keep(samples.totals(scores.tiles, work));
      scores.sumCancelled(plan, side, variances);
      scores.score();
      return scores;
    } catch (IOException | RuntimeException | Error e) {
      scores.close();
      throw e;
    }
  }

  private <T> JavaRDD<T> keep(JavaRDD<T> results) throws IOException {
    kept.add(results.persist(StorageLevel.MEMORY_AND_DISK()));
    PartitionedSamples.job(results::count); // each partition by a task of its own
    return results;
  }

  private int[][] byLayer() {
    return IntStream.range(0, size()).mapToObj(i -> tiles.of(name(i))).toArray(int[][]::new);
  }

  private <T> JavaRDD<T> work(LayerTask.Work<T> work) {
    int[][] layers = byLayer();
    return ByLayer.of(totals, layers).mapPartitionsWithIndex(new LayerTask<>(scope, tiles, layers, work), false);
  }

  /// Finds out which variances have cancelled and matter, and sums them by another pass, if there are any.
  private void sumCancelled(PruningPlan whole, int side, Variances variances) throws IOException {
    if (!(plan.criterion() instanceof Criterion.EliminationCompensation)) {
      return;
    }
    List<Rounding> layers = samples
        .collect(work((scorer, sums, _) -> Collections.singleton(toNumbers(scorer.rounding(sums))).iterator())).stream()
        .map(ScoresOnExecutors::toRounding).toList();
    typical = OneLayerScorer.typical(layers);
    Map<String, CancelledInputs> inputs = new LinkedHashMap<>();
    for (int i = 0; i < layers.size(); i++) {
      String name = name(i);
      OneLayerScorer.inexact(layers.get(i), scope.samples(), typical).ifPresent(inexact -> inputs.put(name, inexact));
    }
    if (!inputs.isEmpty()) {
      Tiles more = Tiles.ofVariances(whole, inputs, side);
      totals = totals.union(keep(samples.totals(more, variances.work(inputs))));
      tiles = tiles.and(more);
    }
  }

  /// Every serialiser knows arrays. The first is the typical importance, and the second tells how many inputs there are.
  private static double[] toNumbers(Rounding layer) {
    DoubleStream head = DoubleStream.of(layer.typical(), layer.cancelled().size());
    DoubleStream values = Stream.concat(layer.cancelled().stream(), layer.meanSensitivity().stream())
        .mapToDouble(Float::doubleValue);
    return DoubleStream.concat(head, values).toArray();
  }

  private static Rounding toRounding(double... numbers) {
    List<Float> values = DoubleStream.of(numbers).skip(2).mapToObj(value -> Float.valueOf((float) value)).toList();
    int inputs = (int) numbers[1];
    return new Rounding(numbers[0], values.subList(0, inputs), values.subList(inputs, values.size()));
  }

  private void score() throws IOException {
    double common = typical;
    scores = keep(work((scorer, sums, arena) -> pieces(scorer.ranked(sums, common, arena))));
  }

  private static Iterator<float[]> pieces(MatrixView scores) {
    return LongStream.range(0, Math.ceilDiv(scores.elements(), PIECE)).mapToObj(p -> {
      float[] piece = new float[(int) Math.min(PIECE, scores.elements() - p * PIECE)];
      MemorySegment.copy(scores.segment(), MatrixView.ELEMENT, p * PIECE * Float.BYTES, piece, 0, piece.length);
      return piece;
    }).iterator();
  }

  /// Counts the scores of a layer.
  private static long[] counts(RadixSelection.Pass pass, Iterator<float[]> pieces) {
    long[] sum = new long[pass.buckets()];
    while (pieces.hasNext()) {
      float[] piece = pieces.next();
      int[] counts = new int[sum.length];
      pass.count(piece, piece.length, counts);
      for (int bucket = 0; bucket < sum.length; bucket++) {
        sum[bucket] += counts[bucket];
      }
    }
    return sum;
  }

  @Override
  public List<Cut.Below> cuts(List<Integer> layers, long count) {
    int[] some = layers.stream().mapToInt(Integer::intValue).toArray();
    return RadixSelection.cuts(some.length, count, pass -> {
      JavaRDD<long[]> counts = scores.mapPartitions(pieces -> Collections.singleton(counts(pass, pieces)).iterator());
      try {
        return samples.collect(counts, some).toArray(long[][]::new);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    });
  }

  @Override
  public Scores fetch(int i) {
    try (Arena arena = Arena.ofShared()) {
      NetworkSums sums = samples.fetch(tiles, totals, tiles.of(name(i)), arena);
      List<Sums> own = sums.layers().get(name(i));
      return new OneLayerScorer(backend, network, layer(i), plan, plan.layers().get(i)).score(own, typical);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public int size() {
    return plan.layers().size();
  }

  @Override
  public int layer(int i) {
    return plan.layers().get(i).number();
  }

  @Override
  public String name(int i) {
    return network.layers().get(layer(i)).name();
  }

  @Override
  public int rows(int i) {
    return network.layers().get(layer(i)).outputs();
  }

  @Override
  public int columns(int i) {
    return network.layers().get(layer(i)).inputs();
  }

  @Override
  public void close() {
    kept.reversed().forEach(results -> results.unpersist(false));
    scope.network().destroy();
  }
}
