package dev.espalier.engine.backend.cuda;

import static dev.espalier.engine.backend.cuda.CudaMatrix.device;

import dev.espalier.engine.DeviceFailedException;
import dev.espalier.engine.backend.BiasChange;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.SelectionOperations;
import dev.espalier.kernels.ApplyKernel;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.SelectKernel;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/// Selection and removal.
final class CudaSelection implements SelectionOperations, Resource {
  private final Driver driver;
  private final CudaMemory memory;
  private final CudaTransfers transfers;
  private final SelectKernel selecting;
  private final ApplyKernel applying;
  /// What kernels report in.
  private final CudaMemory.Block results;

  CudaSelection(Driver driver, CudaMemory memory, CudaTransfers transfers) {
    this.driver = driver;
    this.memory = memory;
    this.transfers = transfers;
    selecting = new SelectKernel(driver);
    applying = new ApplyKernel(driver);
    results = memory.allocate(ApplyKernel.REMOVED_BYTES, "results");
  }

  @Override
  public long rankZerosFirst(Matrix weights, Matrix scores) {
    DeviceBuffer first = new DeviceBuffer(results.address(), Long.BYTES);
    driver.fill(first.address(), first.bytes(), (byte) -1); // the largest unsigned number
    selecting.rankZerosFirst(device(weights), device(scores), first);
    return transfers.words(results.address(), 1)[0];
  }

  @Override
  public List<Cut.Below> cuts(List<Matrix> scores, long count) {
    if (count == 0) {
      return Collections.nCopies(scores.size(), Cut.NOTHING);
    }
    List<DeviceMatrix> layers = scores.stream().map(CudaMatrix::device).toList();
    long stateBytes = CudaMemory.rounded(SelectKernel.STATE_BYTES);
    DeviceBuffer all = memory.scratch(stateBytes + (long) layers.size() * SelectKernel.COUNTS_BYTES);
    DeviceBuffer state = new DeviceBuffer(all.address(), stateBytes);
    long counts = all.address() + stateBytes;
    selecting.select(layers, count, state);
    driver.fill(counts, (long) layers.size() * SelectKernel.COUNTS_BYTES, (byte) 0);
    for (int l = 0; l < layers.size(); l++) {
      selecting.count(layers.get(l), state,
          new DeviceBuffer(counts + (long) l * SelectKernel.COUNTS_BYTES, SelectKernel.COUNTS_BYTES));
    }
    float threshold = SelectKernel.threshold((int) transfers.words(state.address(), 1)[0]);
    long[] found = transfers.words(counts, 2 * layers.size());
    long left = count;
    for (int l = 0; l < layers.size(); l++) {
      left -= found[2 * l];
    }
    List<Cut.Below> cuts = new ArrayList<>();
    for (int l = 0; l < layers.size(); l++) {
      long ties = Math.min(left, found[2 * l + 1]);
      left -= ties;
      cuts.add(new Cut.Below(threshold, found[2 * l], ties, found[2 * l + 1]));
    }
    return cuts;
  }

  @Override
  public long keepPerGroup(Matrix scores, int groupWidth, double removedPerGroup, Matrix marked) {
    return selecting.keepPerGroup(device(scores), device(marked), groupWidth, removedPerGroup);
  }

  /// The kernel also counts what it removes: another number than the cut's would mean that scores and cut do not belong
  /// together, or that the GPU failed.
  @Override
  public double remove(Matrix weights, Matrix scores, Cut.Below cut, Optional<BiasChange> compensated) {
    ApplyKernel.Cut applied = new ApplyKernel.Cut(device(scores), cut.threshold(), cut.ties(),
        memory.scratch(ApplyKernel.workspace(scores.rows())));
    DeviceBuffer result = new DeviceBuffer(results.address(), ApplyKernel.REMOVED_BYTES);
    if (compensated.isPresent()) {
      applying.remove(applied, device(weights), result, device(compensated.get().bias()),
          device(compensated.get().compensation()));
    } else {
      applying.remove(applied, device(weights), result);
    }
    long[] words = transfers.words(results.address(), 2);
    if (words[0] != cut.removed()) {
      throw new DeviceFailedException(
          "the GPU removed %d weights of a layer, %d were selected".formatted(words[0], cut.removed()), null);
    }
    return Double.longBitsToDouble(words[1]);
  }

  @Override
  public void close() {
    memory.free(results);
  }
}
