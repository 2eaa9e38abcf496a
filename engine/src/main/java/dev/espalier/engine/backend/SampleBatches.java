package dev.espalier.engine.backend;

import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// One pass over a dataset in batches that come into a backend's memory, checked for NaN and infinity; or one of several
/// that share a pass, each with a backend and a thread of its own.
public abstract sealed class SampleBatches implements AutoCloseable {
  private SampleBatches() {}

  /// A pass that starts with the first [#next].
  ///
  /// @param batchSize most samples in a batch, at least 1
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it takes memory that is not there
  public static SampleBatches open(Backend backend, Dataset data, int batchSize) {
    int rows = rows(data, batchSize);
    Optional<ResidentSamples> resident = resident(backend, data);
    if (resident.isPresent() && resident.get().isComplete()) {
      return new There(resident.get(), data.labels(), rows);
    }
    return Resources.build(resources -> {
      SampleTransfer transfer = resources.own(backend.transfer(rows, data.samples().width()));
      return new Read(new Batches(data, transfer), transfer, resident);
    });
  }

  /// Divides one pass between backends, as [Batches#divided].
  ///
  /// @param batchSize most samples in a batch, at least 1
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it takes memory that is not there
  public static List<SampleBatches> divided(List<Backend> backends, Dataset data, int batchSize) {
    if (backends.size() == 1) {
      return List.of(open(backends.getFirst(), data, batchSize));
    }
    return Resources.build(resources -> {
      List<SampleTransfer> transfers = backends.stream().<SampleTransfer>map(
          backend -> resources.own(backend.transfer(rows(data, batchSize), data.samples().width()))).toList();
      List<SampleBatches> parts = new ArrayList<>();
      for (Batches part : Batches.divided(data, transfers)) {
        parts.add(new Read(part, transfers.get(parts.size()), Optional.empty()));
      }
      return parts;
    });
  }

  /// What a worker does with its part of a pass.
  @FunctionalInterface
  public interface Part {
    /// @param worker its number
    /// @param batches closed by the caller
    void run(int worker, SampleBatches batches) throws IOException;
  }

  /// Runs a pass that workers share. When one fails, no batch is left for the others.
  ///
  /// @param batchSize most samples in a batch, at least 1
  /// @throws IOException if a sample cannot be read or is not finite
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it takes memory that is not there
  public static void share(Workers workers, Dataset data, int batchSize, Part part) throws IOException {
    List<SampleBatches> parts = divided(workers.backends(), data, batchSize);
    List<Runnable> work = new ArrayList<>();
    for (int w = 0; w < parts.size(); w++) {
      int worker = w;
      work.add(() -> run(worker, parts.get(worker), part));
    }
    try {
      workers.run(work);
    } catch (UncheckedIOException e) {
      throw e.getCause();
    } finally {
      for (SampleBatches each : parts) {
        each.close(); // what none has begun
      }
    }
  }

  private static void run(int worker, SampleBatches batches, Part part) {
    try (batches) {
      part.run(worker, batches);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static int rows(Dataset data, int batchSize) {
    return (int) Math.min(batchSize, data.samples().samples());
  }

  private static Optional<ResidentSamples> resident(Backend backend, Dataset data) {
    return data.samples() instanceof ResidentSamples resident && resident.isOn(backend)
        ? Optional.of(resident)
        : Optional.empty();
  }

  /// Moves to the next batch.
  ///
  /// @return whether there is one; none is left either when another that shares the pass was closed
  /// @throws IOException if the source cannot be read, ends early, or holds a NaN or an infinity; the message names it
  public abstract boolean next() throws IOException;

  /// The position of the batch's first sample in the source.
  public abstract long first();

  /// Samples of the batch.
  public abstract int rows();

  /// The position after the batch's last sample.
  public long end() {
    return first() + rows();
  }

  /// Samples of the whole source.
  public abstract long total();

  /// Copies the batch into a matrix of the backend; as often as it is wanted.
  ///
  /// @param target as many rows × inputs
  public abstract void load(Matrix target);

  /// The batch's labels, as many rows, in host memory; only of a source with labels.
  public abstract MatrixView labels();

  /// Ends the pass, also for those that share it.
  @Override
  public abstract void close() throws IOException;

  /// Samples come from their source.
  private static final class Read extends SampleBatches {
    private final Batches batches;
    private final SampleTransfer transfer;
    private final Optional<ResidentSamples> kept;

    Read(Batches batches, SampleTransfer transfer, Optional<ResidentSamples> kept) {
      this.batches = batches;
      this.transfer = transfer;
      this.kept = kept;
    }

    @Override
    public boolean next() throws IOException {
      if (!batches.next()) {
        return false;
      }
      kept.ifPresent(samples -> samples.keep(batches.first(), batches.rows(), transfer));
      return true;
    }

    @Override
    public long first() {
      return batches.first();
    }

    @Override
    public int rows() {
      return batches.rows();
    }

    @Override
    public long total() {
      return batches.total();
    }

    @Override
    public void load(Matrix target) {
      transfer.load(target);
    }

    @Override
    public MatrixView labels() {
      return batches.labels();
    }

    @Override
    public void close() throws IOException {
      batches.close();
    }
  }

  /// Samples are in the backend's memory.
  private static final class There extends SampleBatches {
    private final ResidentSamples samples;
    private final Optional<Batches> labels;
    private final int most;
    private long first;
    private int rows;

    There(ResidentSamples samples, Optional<SampleSource> labels, int most) {
      this.samples = samples;
      this.labels = labels.map(source -> new Batches(Dataset.of(source), most));
      this.most = most;
    }

    @Override
    public boolean next() throws IOException {
      first += rows;
      rows = (int) Math.min(most, total() - first);
      if (labels.isPresent()) {
        labels.get().next();
      }
      return rows > 0;
    }

    @Override
    public long first() {
      return first;
    }

    @Override
    public int rows() {
      return rows;
    }

    @Override
    public long total() {
      return samples.samples();
    }

    @Override
    public void load(Matrix target) {
      samples.load(first, target);
    }

    @Override
    public MatrixView labels() {
      return labels.orElseThrow().samples();
    }

    @Override
    public void close() throws IOException {
      if (labels.isPresent()) {
        labels.get().close();
      }
    }
  }
}
