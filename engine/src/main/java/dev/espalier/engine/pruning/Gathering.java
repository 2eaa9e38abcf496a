package dev.espalier.engine.pruning;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
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
    if (!plan.scoring().criterion().followsFromSums()) {
      throw new MismatchException("criterion %s does not follow from statistics: it needs the samples themselves"
          .formatted(plan.scoring().criterion()));
    }
    Dataset own = data.part(part, parts);
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      NetworkSums sums = Scorer.sums(backend, device, plan.scoring(), own, listener, arena);
      long first = own.samples().first();
      Provenance.Range range = new Provenance.Range(Fingerprint.ofHead(data), first, first + own.samples().samples(),
          data.samples().samples(), data.samples().name());
      return new GatheredSums(sums, new Provenance(Fingerprint.of(network), options(plan, reading), List.of(range)));
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
