package dev.espalier.engine.backend.cpu;

import static dev.espalier.engine.backend.cpu.CpuMatrix.read;
import static dev.espalier.engine.backend.cpu.CpuTile.load;
import static dev.espalier.engine.backend.cpu.CpuTile.store;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Squares;
import dev.espalier.engine.network.Activation;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/// φ′(z) of an elementwise activation, which multiplies gradients on their way through it.
///
/// @param z of one copy
/// @param stacked rows of the gradients
/// @param scale of the squares that are added to the sensitivity, if there is one
record CpuDerivative(Activation activation, Matrix z, int stacked, float scale, Optional<MemorySegment> sensitivity) {
  static CpuDerivative of(Activation activation, Matrix z, int stacked, Optional<Squares> squares) {
    return new CpuDerivative(activation, z, stacked, squares.map(s -> (float) s.scale()).orElse(0f),
        squares.map(s -> CpuMatrix.write(s.sensitivity())));
  }

  int samples() {
    return z.rows();
  }

  /// g = u ∘ φ′ for elements `start` to `end` of each copy.
  void multiply(MemorySegment u, MemorySegment g, long start, long end) {
    CpuTile tile = CpuTile.ofThread();
    MemorySegment preActivation = read(z);
    long last = (long) (stacked - samples()) * z.columns();
    for (long first = start; first < end; first += CpuTile.LENGTH) {
      int count = (int) Math.min(CpuTile.LENGTH, end - first);
      float[] slope = tile.a;
      CpuActivation.slopes(activation, load(preActivation, first, count, tile.b), slope, count);
      if (sensitivity.isPresent()) {
        MemorySegment s = sensitivity.get();
        float[] sum = load(s, first, count, tile.c);
        for (long at = first; at <= first + last; at += z.elements()) {
          float[] gradient = load(u, at, count, tile.b);
          CpuLoops.multiplyAndAddSquares(slope, gradient, scale, sum, count);
          store(gradient, count, g, at);
        }
        store(sum, count, s, first);
      } else {
        for (long at = first; at <= first + last; at += z.elements()) {
          float[] gradient = load(u, at, count, tile.b);
          CpuLoops.multiply(slope, gradient, count);
          store(gradient, count, g, at);
        }
      }
    }
  }
}
