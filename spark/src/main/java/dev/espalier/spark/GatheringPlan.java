package dev.espalier.spark;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.MemoryBudget;

/// What a gathering will cost, computed before it begins.
///
/// @param partitions of the samples; each is a task, and sends sums of the whole network
/// @param batchSize samples in a batch, the same on all executors
/// @param passes how often the data are read: once to count the rows of each partition, once to sum
/// @param broadcast bytes of the network, sent to each executor once
/// @param shuffled bytes at most that tasks send, before compression: partitions without samples send nothing
/// @param tiles into which the sums are cut; each is a task that adds up what up to 32 partitions sent of it. More are
///              added in groups by a task each, and then the groups
/// @param taskMemory bytes that a task of a partition takes outside Java's heap: network, sums, a batch. Where it
///                   computes on a GPU, CUDA takes some hundred MiB more, and has here what does not fit the GPU
/// @param gpuMemory bytes, about, that a task takes of a GPU; 0: tasks compute on CPUs
/// @param tileMemory bytes that a task takes on Java's heap to send the largest tile, or to add it up. What else
///                   arrives early is in files of Spark's local folders
/// @param driverMemory bytes that the driver takes for network and sums, outside Java's heap, if it fetches all sums
public record GatheringPlan(int partitions, int batchSize, int passes, long broadcast, long shuffled, int tiles,
    long taskMemory, long gpuMemory, long tileMemory, long driverMemory) {
  /// Lines for people.
  @Override
  public String toString() {
    return """
        %s partitions in batches of %s samples; %s passes over the data: one counts rows, one sums
        %s broadcast; %s shuffled at most, before compression, in %s tiles
        a task takes %s outside Java's heap (spark.executor.memoryOverhead)%s, and %s of heap for a tile""".formatted(
        PLAIN.count(partitions), PLAIN.count(batchSize), passes, MemoryBudget.text(broadcast),
        MemoryBudget.text(shuffled), PLAIN.count(tiles), MemoryBudget.text(taskMemory),
        gpuMemory == 0 ? "" : " beside what CUDA does, about %s of a GPU".formatted(MemoryBudget.text(gpuMemory)),
        MemoryBudget.text(tileMemory));
  }
}
