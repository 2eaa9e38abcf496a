package dev.espalier.engine.training;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.LossPass;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/// The batches of a training, whose samples lie anywhere: gathered in host memory and uploaded, or gathered in the
/// backend's memory. Both give the same bits.
abstract sealed class TrainingBatches implements Resource {
  private TrainingBatches() {}

  /// What is trained on.
  ///
  /// @param x samples × inputs
  /// @param there x in the backend's memory, where it lies there already
  /// @param t samples × outputs
  record Samples(MatrixView x, Optional<Matrix> there, MatrixView t) {
    int count() {
      return x.rows();
    }

    /// Whether the backend has memory of its own, of which they take a small part only.
    boolean suit(Backend backend) {
      long elements = (there.isPresent() ? 0 : x.elements()) + t.elements() + count();
      return backend.memory().map(MemoryBudget::forKept).orElse(0L) >= elements * Float.BYTES;
    }
  }

  /// From host memory.
  ///
  /// @param rows of a batch at most
  static TrainingBatches onHost(Samples samples, int rows) {
    return Resources.build(resources -> new OnHost(samples, rows, resources));
  }

  /// From the backend's memory, into which it brings what is not there yet.
  ///
  /// @param beside bytes that must be left: others take them meanwhile
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it does not fit
  static TrainingBatches onBackend(Backend backend, Samples samples, long beside) {
    return Resources.build(resources -> {
      TrainingBatches there = new OnBackend(backend, samples, resources);
      backend.requireRoom(beside);
      return there;
    });
  }

  /// Sets the order of all samples, by their numbers; at first there is none.
  abstract void order(int[] order);

  /// Loads samples and targets of a batch.
  ///
  /// @param first the place of its first sample in the order
  abstract void load(int first, int rows, ForwardPass forward, LossPass loss);

  private static final class OnHost extends TrainingBatches {
    private final Samples samples;
    private final Arena arena = Arena.ofConfined();
    private final MatrixView batch;
    private final MatrixView targets;
    private int[] order = {};

    OnHost(Samples samples, int rows, Resources resources) {
      this.samples = samples;
      resources.own(arena::close);
      batch = MatrixView.allocate(arena, rows, samples.x().columns());
      targets = MatrixView.allocate(arena, rows, samples.t().columns());
    }

    @Override
    void order(int[] order) {
      this.order = order;
    }

    @Override
    void load(int first, int rows, ForwardPass forward, LossPass loss) {
      MatrixView x = batch.slice(0, rows);
      MatrixView t = targets.slice(0, rows);
      gather(samples.x(), first, x);
      gather(samples.t(), first, t);
      forward.load(x);
      loss.load(t);
    }

    private void gather(MatrixView from, int first, MatrixView to) {
      long bytes = (long) from.columns() * Float.BYTES;
      for (int i = 0; i < to.rows(); i++) {
        MemorySegment.copy(from.segment(), order[first + i] * bytes, to.segment(), i * bytes, bytes);
      }
    }

    @Override
    public void close() {
      arena.close();
    }
  }

  private static final class OnBackend extends TrainingBatches {
    private final Backend backend;
    private final Matrix x;
    private final Matrix t;
    private final Matrix order;
    private final Resources resources;

    OnBackend(Backend backend, Samples samples, Resources resources) {
      this.backend = backend;
      this.resources = resources;
      order = resources.own(backend.allocate(1, samples.count()));
      t = uploaded(samples.t());
      x = samples.there().orElseGet(() -> uploaded(samples.x()));
    }

    private Matrix uploaded(MatrixView matrix) {
      Matrix there = resources.own(backend.allocate(matrix.rows(), matrix.columns()));
      backend.upload(matrix, there);
      return there;
    }

    @Override
    void order(int[] order) {
      try (Arena arena = Arena.ofConfined()) {
        MatrixView numbers = MatrixView.allocate(arena, 1, order.length);
        MemorySegment.copy(order, 0, numbers.segment(), ValueLayout.JAVA_INT, 0, order.length);
        backend.upload(numbers, this.order);
      }
    }

    @Override
    void load(int first, int rows, ForwardPass forward, LossPass loss) {
      forward.load(rows, batch -> backend.network().gatherRows(x, order, first, batch));
      loss.load(rows, batch -> backend.network().gatherRows(t, order, first, batch));
    }

    @Override
    public void close() {
      resources.close();
    }
  }
}
