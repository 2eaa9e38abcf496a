package dev.espalier.engine.repair;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.network.LayerShape;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.NetworkReplicas;
import dev.espalier.engine.repair.LayerSums.Errors;
import dev.espalier.engine.repair.LayerSums.Inputs;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.statistics.Sums;
import dev.espalier.engine.statistics.SumsTotal;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// The sums of a layer's fit by several devices, each over a part of the samples. They are added up on the host, in the
/// order of the devices.
final class DividedSums implements Resource {
  private final Workers devices;
  private final SampleSource samples;
  private final int batchSize;
  private final List<LayerValues> values = new ArrayList<>();
  private final Resources resources;
  private Optional<NetworkReplicas> pruned = Optional.empty();

  private DividedSums(Workers devices, DeviceNetwork dense, SampleSource samples, int mostSamples,
      Resources resources) {
    this.devices = devices;
    this.samples = samples;
    this.resources = resources;
    batchSize = devices.batchSize(samples.samples(), mostSamples);
    NetworkReplicas replicas = resources.own(NetworkReplicas.of(dense, devices));
    for (Backend device : devices.backends()) {
      values.add(resources.own(LayerValues.streaming(device, replicas.of(values.size()), samples, batchSize)));
    }
  }

  /// Of no layer yet, closed by the caller.
  ///
  /// @param dense the network to come close to
  static DividedSums allocate(Workers devices, DeviceNetwork dense, SampleSource samples, int mostSamples) {
    return Resources.build(resources -> new DividedSums(devices, dense, samples, mostSamples, resources));
  }

  /// Whether the sums of a layer can be added up on the host.
  static boolean isFor(LayerShape layer) {
    return (long) layer.inputs() * Math.max(layer.inputs(), layer.outputs()) <= Integer.MAX_VALUE;
  }

  /// Begins to fit the layers of a network.
  void begin(DeviceNetwork network) {
    pruned = Optional.of(NetworkReplicas.of(network, devices));
  }

  /// Layer `l` of the network has changed.
  void changed(int l) {
    pruned.orElseThrow().refresh(l);
  }

  /// Ends what [#begin] has begun.
  void end() {
    pruned.ifPresent(NetworkReplicas::close);
    pruned = Optional.empty();
  }

  /// Writes what the samples tell of the inputs of a layer and, where they are wanted, of its errors.
  void gather(ScoringPlan.Layer layer, Inputs inputs, Optional<Errors> errors, ProgressListener listener)
      throws IOException {
    try (Arena arena = Arena.ofShared()) { // of the devices' threads
      List<List<Sums>> found = new ArrayList<>();
      devices.backends().forEach(_ -> found.add(List.of()));
      SampleBatches.share(devices, Dataset.of(samples), batchSize, (i, batches) -> {
        List<Sums> sums = LayerFit.sums(devices.backends().get(i), values.get(i), batches, batchSize,
            pruned.orElseThrow().of(i), layer, errors.isPresent(), i == 0 ? listener : ProgressListener.NONE, arena);
        synchronized (found) {
          found.set(i, sums);
        }
      });
      Backend first = devices.backends().getFirst();
      Sums ofInputs = total(found, 0, arena);
      first.upload(ofInputs.array("column_mean"), inputs.mean());
      first.upload(ofInputs.array("products"), inputs.gram());
      first.solving().diagonal(inputs.gram(), inputs.squares());
      if (errors.isPresent()) {
        Sums ofErrors = total(found, 1, arena);
        first.upload(ofErrors.array("row_mean"), errors.get().mean());
        first.upload(ofErrors.array("products"), errors.get().cross());
      }
    }
  }

  private static Sums total(List<List<Sums>> found, int number, Arena arena) {
    SumsTotal total = new SumsTotal(found.getFirst().get(number));
    found.stream().skip(1).forEach(part -> total.add(part.get(number)));
    return total.sums(arena);
  }

  @Override
  public void close() {
    end();
    resources.close();
  }
}
