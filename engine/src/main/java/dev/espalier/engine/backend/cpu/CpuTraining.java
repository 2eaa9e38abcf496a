package dev.espalier.engine.backend.cpu;

import static dev.espalier.engine.backend.cpu.CpuMatrix.read;
import static dev.espalier.engine.backend.cpu.CpuMatrix.write;
import static dev.espalier.engine.backend.cpu.CpuTile.load;
import static dev.espalier.engine.backend.cpu.CpuTile.store;

import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.TrainingOperations;
import java.lang.foreign.MemorySegment;

/// Losses and optimiser steps.
final class CpuTraining implements TrainingOperations {
  private final CpuPool pool;

  CpuTraining(CpuPool pool) {
    this.pool = pool;
  }

  @Override
  public void crossEntropy(Matrix logits, Matrix targets, Matrix gradient, Matrix losses) {
    MemorySegment z = read(logits);
    MemorySegment t = read(targets);
    MemorySegment g = write(gradient);
    MemorySegment l = write(losses);
    int outputs = logits.columns();
    pool.ranges(logits.rows(), CpuPool.rowsPerBlock(outputs), (start, end) -> {
      float[] values = new float[outputs];
      float[] target = new float[outputs];
      float[] slope = new float[outputs];
      float[] loss = new float[(int) (end - start)];
      for (long n = start; n < end; n++) {
        load(z, n * outputs, outputs, values);
        load(t, n * outputs, outputs, target);
        loss[(int) (n - start)] = (float) CpuLoops.crossEntropy(values, target, slope, outputs);
        store(slope, outputs, g, n * outputs);
      }
      store(loss, loss.length, l, start);
    });
  }

  @Override
  public void binaryCrossEntropy(Matrix logits, Matrix targets, Matrix gradient, Matrix losses) {
    inPlace(logits, targets, gradient, losses, CpuLoops::binaryCrossEntropy);
  }

  @Override
  public void squaredError(Matrix output, Matrix targets, Matrix gradient, Matrix losses) {
    inPlace(output, targets, gradient, losses, CpuLoops::squaredError);
  }

  /// The loss of one row, whose gradient takes the place of its values.
  private interface RowLoss {
    double of(float[] targets, float[] values, int count);
  }

  private void inPlace(Matrix output, Matrix targets, Matrix gradient, Matrix losses, RowLoss row) {
    MemorySegment a = read(output);
    MemorySegment t = read(targets);
    MemorySegment g = write(gradient);
    MemorySegment l = write(losses);
    int outputs = output.columns();
    pool.ranges(output.rows(), CpuPool.rowsPerBlock(outputs), (start, end) -> {
      float[] values = new float[outputs];
      float[] target = new float[outputs];
      float[] loss = new float[(int) (end - start)];
      for (long n = start; n < end; n++) {
        load(a, n * outputs, outputs, values);
        load(t, n * outputs, outputs, target);
        loss[(int) (n - start)] = (float) row.of(target, values, outputs);
        store(values, outputs, g, n * outputs);
      }
      store(loss, loss.length, l, start);
    });
  }

  @Override
  public void adamStep(Matrix parameter, Matrix gradient, Matrix firstMoment, Matrix secondMoment, Adam adam, long step,
      boolean keepZeros) {
    MemorySegment p = write(parameter);
    MemorySegment g = read(gradient);
    MemorySegment m = write(firstMoment);
    MemorySegment v = write(secondMoment);
    CpuLoops.AdamStep adamStep = CpuLoops.AdamStep.of(adam, (double) step, keepZeros);
    pool.tiles(parameter.elements(), (first, count, tile) -> {
      float[] value = load(p, first, count, tile.a);
      float[] mean = load(m, first, count, tile.b);
      float[] square = load(v, first, count, tile.c);
      adamStep.run(load(g, first, count, tile.d), value, mean, square, count);
      store(value, count, p, first);
      store(mean, count, m, first);
      store(square, count, v, first);
    });
  }
}
