/// What is summed over samples for each layer: accumulators in the memory of a backend, and sums in host memory that
/// merge and can be kept in files.
package dev.espalier.engine.statistics;
