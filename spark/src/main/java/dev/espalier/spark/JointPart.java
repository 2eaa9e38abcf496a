package dev.espalier.spark;

import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.repair.JointFit;
import dev.espalier.engine.scoring.ScoringPlan;
import java.io.Serializable;
import java.util.List;
import java.util.stream.IntStream;

/// What the tasks of a joint repair have in common.
///
/// @param method as [Repairs#parse] reads it, with its objective in force
/// @param layers the numbers of those that are repaired
/// @param compensable whether the bias of each may move
/// @param outputs of the network
/// @param deviceName as [Device#parse] reads it
record JointPart(String method, List<Integer> layers, List<Boolean> compensable, int outputs, int batchSize, long seed,
    String deviceName) implements Serializable {
  static JointPart of(Repair.Joint method, List<ScoringPlan.Layer> layers, int outputs, int batchSize, long seed,
      Device device) {
    return new JointPart(method.toString(), layers.stream().map(ScoringPlan.Layer::number).toList(),
        layers.stream().map(ScoringPlan.Layer::compensable).toList(), outputs, batchSize, seed, device.toString());
  }

  Device device() {
    return Device.parse(deviceName);
  }

  JointFit.Part part() {
    return new JointFit.Part((Repair.Joint) Repairs.parse(method).steps().getFirst(), IntStream.range(0, layers.size())
        .mapToObj(i -> new ScoringPlan.Layer(layers.get(i), compensable.get(i))).toList(), batchSize, seed);
  }
}
