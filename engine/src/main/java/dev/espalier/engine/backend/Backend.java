package dev.espalier.engine.backend;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import java.lang.foreign.Arena;
import java.util.Map;
import java.util.Optional;

/// A machine that computes with matrices: plain Java, a CPU's vector units, a GPU. A backend is memory, a queue of work
/// and a timeline; its facets hold the operations that the algorithms are written over:
///
/// | facet | operations |
/// |---|---|
/// | [#network] | products, dense layers, activations and their derivatives, upstream gradients |
/// | [#moments] | sums over samples, and the scores that follow from them |
/// | [#selection] | thresholds, and the removal of weights |
/// | [#training] | losses and optimiser steps |
/// | [#solving] | least squares |
///
/// Work is asynchronous: a call may return before its result is there; calls take effect in order; calls that return
/// numbers, and [#download], wait. One thread uses a backend at a time; several backends may be open at once. Callers
/// check their arguments, backends trust them. The reference backend defines the right answer; contract tests, one for
/// each facet, check every other backend against plain loops in double precision.
public interface Backend extends AutoCloseable {
  /// The kind of machine and its settings, for example `reference (plain Java, float64)`.
  String description();

  // ---- facets ----

  /// Operations of forward and backward passes.
  NetworkOperations network();

  /// Operations of statistics and scores.
  MomentOperations moments();

  /// Operations of selection and removal.
  SelectionOperations selection();

  /// Operations of training.
  TrainingOperations training();

  /// Operations of least squares.
  SolvingOperations solving();

  /// A network whose weights are multiplied without their zeros, closed by the caller.
  ///
  /// @param samples of each batch
  /// @return empty if the backend has no such products
  default Optional<SparseNetwork> sparseNetwork(DenseNetwork network, int samples) {
    return Optional.empty();
  }

  // ---- timeline ----

  /// Counts the time from here on as `phase` in [#seconds].
  void enter(Phase phase);

  /// Counts the time until the result is closed as `whole`, whatever is entered meanwhile; then the phase from before
  /// goes on. Within another such time it does nothing.
  Resource hold(Phase whole);

  /// Seconds in each phase since the backend was opened; phases never entered are absent.
  Map<Phase, Double> seconds();

  // ---- memory ----

  /// The memory that the backend may take, where it counts it.
  default Optional<MemoryBudget> memory() {
    return Optional.empty();
  }

  /// The batch size that suits the backend if memory suffices, in samples.
  default int batchSize() {
    return 512;
  }

  /// Bytes of workspace that one batch added to the moments of one layer takes.
  default long workspace(int samples, int outputs, int inputs) {
    return 0;
  }

  /// A matrix of zeros, closed by the caller.
  ///
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it does not fit
  Matrix allocate(int rows, int columns);

  /// As [#allocate], for a matrix as large as a layer's weights that is read a few times a batch at most: where a
  /// device's memory is short, it may lie in slower memory.
  ///
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it does not fit
  default Matrix allocateWeights(int rows, int columns) {
    return allocate(rows, columns);
  }

  /// @throws dev.espalier.engine.OutOfBackendMemoryException unless there is room for so many bytes beside all that is
  ///                                                         allocated
  default void requireRoom(long bytes) {
    int rows = 1 << 10;
    allocate(rows, Math.toIntExact(Math.ceilDiv(bytes, (long) rows * Float.BYTES))).close();
  }

  /// Copies `source` into `target` of the same shape; the caller may reuse `source` on return. The backend may use
  /// read-only memory-mapped memory where it lies, until `target` is written: it must then stay open as long as
  /// `target`.
  void upload(MatrixView source, Matrix target);

  /// Copies `source` into `target` of the same shape, rounded to float32, and waits for it.
  void download(Matrix source, MatrixView target);

  /// As [#download(Matrix, MatrixView)], into memory of `arena`.
  default MatrixView download(Matrix source, Arena arena) {
    MatrixView target = MatrixView.allocate(arena, source.rows(), source.columns());
    download(source, target);
    return target;
  }

  /// The elements of `matrix` in host memory: its own memory where it lies there as float32, otherwise a copy in memory
  /// of `arena`. Its own memory may be written, and is valid until `matrix` is closed.
  default MatrixView onHost(Matrix matrix, Arena arena) {
    return download(matrix, arena);
  }

  /// Writes zeros.
  void clear(Matrix matrix);

  // ---- samples ----

  /// The way of a pass's batches into the backend's memory, closed by the caller.
  ///
  /// @param samples most of a batch
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it takes memory that is not there
  default SampleTransfer transfer(int samples, int inputs) {
    return new HostTransfer(this, samples, inputs);
  }

  /// Bytes of the backend's memory that a [#transfer] takes.
  default long transferBytes(int samples, int inputs) {
    return 0;
  }

  /// Elements of the largest matrix that stacked backward passes make, unless a single one is larger.
  default long stackElements() {
    return 1L << 23;
  }

  // ---- queue ----

  /// Runs `work`, which calls operations that return nothing, uploads nothing, and does the same on the same matrices
  /// each time that it comes with an equal `key`. A backend may record it and replay the recording.
  default void repeat(Object key, Runnable work) {
    work.run();
  }

  /// The backends that share the samples of a pass: several where each thread is faster on samples of its own,
  /// otherwise the [devices][#devices].
  ///
  /// @param bytes that the share of each takes
  default Workers workers(long samples, long bytes) {
    return devices(samples);
  }

  /// The devices that share the samples of any pass: several where they work as one and each gets some, otherwise this
  /// backend alone.
  default Workers devices(long samples) {
    return Workers.alone(this);
  }

  /// Waits for the work and gives back the backend's own resources. Matrices are closed before it.
  @Override
  void close();
}
