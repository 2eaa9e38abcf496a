package dev.espalier.engine.backend.reference;

import static dev.espalier.engine.backend.reference.ReferenceMatrix.entries;

import dev.espalier.engine.backend.BiasChange;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.SelectionOperations;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/// Selection by sorting, removal by plain loops.
final class ReferenceSelection implements SelectionOperations {
  @Override
  public long rankZerosFirst(Matrix weights, Matrix scores) {
    ReferenceMatrix s = entries(scores);
    for (int i = 0; i < s.elements(); i++) {
      // Scores compare as float32, as they do on every backend and in the threshold of a cut.
      float score = (float) s.get(i);
      if (!Float.isFinite(score)) {
        return i;
      }
      s.set(i, entries(weights).get(i) == 0 ? -1 : score);
    }
    return -1;
  }

  @Override
  public List<Cut.Below> cuts(List<Matrix> scores, long count) {
    if (count == 0) {
      return scores.stream().map(_ -> Cut.NOTHING).toList();
    }
    double[] sorted = scores.stream().map(s -> entries(s).toArray()).flatMapToDouble(Arrays::stream).sorted().toArray();
    double threshold = sorted[Math.toIntExact(count - 1)];
    long ties = count - Arrays.stream(sorted).filter(score -> score < threshold).count();
    List<Cut.Below> cuts = new ArrayList<>();
    for (Matrix matrix : scores) {
      double[] values = entries(matrix).toArray();
      long below = Arrays.stream(values).filter(score -> score < threshold).count();
      long equal = Arrays.stream(values).filter(score -> score == threshold).count();
      cuts.add(new Cut.Below((float) threshold, below, Math.min(ties, equal), equal));
      ties -= cuts.getLast().ties();
    }
    return cuts;
  }

  @Override
  public long keepPerGroup(Matrix scores, int groupWidth, double removedPerGroup, Matrix marked) {
    ReferenceMatrix s = entries(scores);
    ReferenceMatrix m = entries(marked);
    long removed = 0;
    long group = 0;
    for (int i = 0; i < s.rows(); i++) {
      int row = i;
      for (int start = 0; start < s.columns(); start += groupWidth) {
        int width = Math.min(groupWidth, s.columns() - start);
        long quota = Math.round((group + 1.0) * removedPerGroup) - Math.round((double) group * removedPerGroup);
        long kept = Math.min(width, groupWidth - quota);
        List<Integer> ascending = IntStream.range(start, start + width).boxed()
            .sorted(Comparator.comparingDouble(j -> s.get(row, j))).toList();
        ascending.subList(0, (int) (width - kept)).forEach(j -> m.set(row, j, s.get(row, j)));
        ascending.subList((int) (width - kept), width).forEach(j -> m.set(row, j, Double.POSITIVE_INFINITY));
        removed += width - kept;
        group++;
      }
    }
    return removed;
  }

  @Override
  public double remove(Matrix weights, Matrix scores, Cut.Below cut, Optional<BiasChange> compensated) {
    ReferenceMatrix s = entries(scores);
    long ties = cut.ties();
    double sum = 0;
    for (int i = 0; i < s.rows(); i++) {
      for (int j = 0; j < s.columns(); j++) {
        double score = s.get(i, j);
        if (score < cut.threshold() || (score == cut.threshold() && ties-- > 0)) {
          entries(weights).set(i, j, 0);
          sum += Math.max(0, score);
          if (compensated.isPresent()) {
            entries(compensated.get().bias()).add(0, i, entries(compensated.get().compensation()).get(i, j));
          }
        }
      }
    }
    return sum;
  }
}
