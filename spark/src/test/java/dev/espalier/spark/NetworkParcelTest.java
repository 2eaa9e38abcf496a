package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.espalier.engine.network.DenseNetwork;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.apache.spark.broadcast.Broadcast;
import org.junit.jupiter.api.Test;

/// In local mode, tasks are threads of this process.
final class NetworkParcelTest {
  private static final List<DenseNetwork> SEEN = new ArrayList<>();

  /// Two stay for the next task; a third one goes, but not before its task has ended.
  @Test
  void memoryIsFreedWhenNoTaskHoldsIt() {
    try (Arena arena = Arena.ofShared()) {
      List<Broadcast<NetworkParcel>> parcels = Stream.generate(() -> new NetworkParcel(Fixture.network(arena))).limit(3)
          .map(Fixture.context()::broadcast).toList();
      assertEquals("true,true,true", use(parcels), "while the task runs");
      assertEquals("false,true,true", alive());
      use(parcels.subList(1, 2));
      assertSame(SEEN.get(1), SEEN.getLast(), "it was unpacked once");
      use(parcels.subList(0, 1));
      assertEquals("false,true,false,true,true", alive());
      parcels.forEach(Broadcast::destroy);
    }
  }

  private static String use(List<Broadcast<NetworkParcel>> parcels) {
    List<Broadcast<NetworkParcel>> some = new ArrayList<>(parcels);
    return Fixture.context().parallelize(List.of(1), 1).map(_ -> {
      some.forEach(parcel -> SEEN.add(parcel.value().network()));
      return alive();
    }).first();
  }

  private static String alive() {
    return String.join(",", SEEN.stream()
        .map(network -> String.valueOf(network.layers().getFirst().weights().segment().scope().isAlive())).toList());
  }
}
