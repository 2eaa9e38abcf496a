package dev.espalier.engine.pruning;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.statistics.GatheredSums;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Provenance;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Gathers the sums of a pruning apart from it, over a part of the samples: several processes gather, their files
/// [merge][GatheredSums#merge], and a [plan][PruningPlan#of(PruningOptions, DenseNetwork, GatheredSums, Backend)]
/// prunes by the whole.
public final class Gathering {
  static final String SENSITIVITY = "sensitivity";
  static final String LOSS = "loss";
  static final String NEW_BIAS = "new-bias";

  private Gathering() {}

  /// The sums over one of several equal parts of the samples.
  ///
  /// @param plan of `network` with `data` on `backend`, by a method that needs samples
  /// @param part from 1
  /// @param reading how the data are read, where that changes the samples; sums of other readings do not merge
  /// @param arena takes the memory of the sums
  /// @throws IOException if a sample cannot be read or is not finite
  /// @throws MismatchException if there are fewer samples than parts, or the criterion does not follow from sums
  public static GatheredSums gather(Backend backend, DenseNetwork network, PruningPlan plan, Dataset data, int part,
      int parts, Map<String, String> reading, ProgressListener listener, Arena arena) throws IOException {
    requireFollows(plan.scoring().criterion());
    Dataset own = data.part(part, parts);
    NetworkSums sums = sums(backend, network, plan, own, listener, arena);
    long first = own.samples().first();
    return new GatheredSums(sums, provenance(network, plan, data, first, first + own.samples().samples(), reading));
  }

  /// The sums over samples, without what they are gathered from: for those who gather in parts of their own, and add the
  /// parts up.
  ///
  /// @param plan of `network` with `data` on `backend`, by a criterion that [#requireFollows] allows
  /// @param arena takes the memory of the sums
  /// @throws IOException if a sample cannot be read or is not finite
  public static NetworkSums sums(Backend backend, DenseNetwork network, PruningPlan plan, Dataset data,
      ProgressListener listener, Arena arena) throws IOException {
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      return Scorer.sums(backend, device, plan.scoring(), data, listener, arena);
    }
  }

  /// What sums over the samples `first` to `end` − 1 of `data` are gathered from.
  ///
  /// @param plan by which they were gathered
  /// @param data of which the first samples are read
  /// @param reading as in [#gather]
  /// @throws IOException if a sample cannot be read or is not finite
  public static Provenance provenance(DenseNetwork network, PruningPlan plan, Dataset data, long first, long end,
      Map<String, String> reading) throws IOException {
    Provenance.Range range = new Provenance.Range(Fingerprint.ofHead(data), first, end, data.samples().samples(),
        data.samples().name());
    return new Provenance(Fingerprint.of(network), options(plan, reading), List.of(range));
  }

  /// @throws MismatchException if scores of the criterion do not follow from sums
  public static void requireFollows(Criterion criterion) {
    if (!criterion.followsFromSums()) {
      throw new MismatchException(
          "criterion %s does not follow from statistics: it needs the samples themselves".formatted(criterion));
    }
  }

  private static Map<String, String> options(PruningPlan plan, Map<String, String> reading) {
    Map<String, String> options = new LinkedHashMap<>(reading);
    if (plan.scoring().needs().sensitivities()) {
      options.put(SENSITIVITY, plan.scoring().sensitivity().toString());
      options.put("seed", String.valueOf(plan.scoring().seed()));
      options.put(NEW_BIAS, String.valueOf(plan.options().newBias()));
    }
    plan.scoring().loss().ifPresent(loss -> options.put(LOSS, loss.toString()));
    return options;
  }
}
