package dev.espalier.engine.pruning;

import dev.espalier.engine.method.Repair;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.repair.Repairer;
import dev.espalier.engine.scoring.RemoteScores;
import dev.espalier.engine.scoring.Scores;
import java.io.IOException;

/// What [PruningRounds] need of samples that are elsewhere, such as on the machines of a cluster, whose passes are made
/// there.
public interface RemoteSamples {
  /// The scores of a network.
  sealed interface Scored {
    /// In the memory of the backend of the rounds, not ranked.
    record Here(Scores scores) implements Scored {}

    /// Where the samples are.
    record Elsewhere(RemoteScores scores) implements Scored {}
  }

  /// How many there are.
  long samples();

  /// Scores a network.
  ///
  /// @param network in the memory of the backend of the rounds; it may be rounded to float32
  /// @param isDense whether it is as it was before the first round
  /// @return closed by the rounds, with the network as it was scored
  /// @throws IOException if a sample cannot be read or is not finite
  Scored score(DeviceNetwork network, boolean isDense) throws IOException;

  /// A repair of the plan, towards the network before the first round.
  ///
  /// @param repair with its objective in force
  /// @return closed by the rounds
  /// @throws IOException as [#score]
  Repairer.Step repair(Repair repair) throws IOException;
}
