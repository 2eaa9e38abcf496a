package dev.espalier.engine.data;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.math.BigDecimal;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Noisy copies that are added to samples where these are few, as in a smoothed bootstrap [Silverman and Young 1987]: the
/// dense network has its answer for a copy as for a sample, so that a repair needs no label (docs/method.md, few
/// samples). The noise of a copy is C (x − x′) / √2 with two other samples x and x′, so that it has C² times the
/// covariance of the samples: what never varies does not, and what varies together does so in the copies.
///
/// @param noise C, 0 without copies
/// @param samples that there are to be, with the copies, at least; a quarter of so many get none, nor do more
public record Augmentation(double noise, long samples) {
  /// What suits images, tables and curves.
  public static final Augmentation DEFAULT = new Augmentation(0.5, 10_000);
  /// Samples are enough if there is one for so many that there are to be.
  private static final int ENOUGH = 4;
  /// No copies.
  public static final Augmentation NONE = new Augmentation(0, 1);

  /// @throws IllegalArgumentException if a number is out of its range
  public Augmentation {
    if (!(noise >= 0 && noise <= 100) || samples < 1 || (noise == 0 && samples > 1)) {
      throw new IllegalArgumentException(
          "noise:%s:samples=%d: use a noise above 0 and at most 100, and at least 1 sample".formatted(noise, samples));
    }
  }

  /// `none`, `noise:C`, or `noise:C:samples=N`.
  ///
  /// @throws IllegalArgumentException for anything else
  public static Augmentation parse(String text) {
    if (text.equals("none")) {
      return NONE;
    }
    Matcher matcher = Pattern.compile("noise:(\\d{1,3}(?:\\.\\d{1,6})?)(?::samples=(\\d{1,9}))?").matcher(text);
    if (!matcher.matches()) {
      throw new IllegalArgumentException(
          "unknown augmentation '%s': use none, noise:0.5, or noise:0.5:samples=10000".formatted(text));
    }
    return new Augmentation(Double.parseDouble(matcher.group(1)),
        matcher.group(2) == null ? DEFAULT.samples : Long.parseLong(matcher.group(2)));
  }

  /// Copies of each sample that are added; none of a single one, which does not vary.
  ///
  /// @param count of the samples
  public long copies(long count) {
    return count == 1 || count >= Math.ceilDiv(samples, ENOUGH) ? 0 : Math.ceilDiv(samples, count) - 1;
  }

  /// The data, and after them their copies, with the same labels.
  ///
  /// @param seed of the noise
  /// @param arena takes the memory of the data, and must allow other threads where they read passes
  /// @throws IOException if a sample or label cannot be read or is not finite
  public Dataset of(Dataset data, long seed, Arena arena) throws IOException {
    long copies = copies(data.samples().samples());
    if (copies == 0) {
      return data;
    }
    float factor = (float) (noise / Math.sqrt(2));
    Dataset rows = data.inMemory(Long.MAX_VALUE, arena);
    return new Dataset(copies(rows.samples(), copies, factor, seed),
        rows.labels().map(labels -> copies(labels, copies, 0, seed)));
  }

  private static SampleSource copies(SampleSource source, long copies, float factor, long seed) {
    return new NoisyCopies("%s with noisy copies".formatted(source.name()), ((MatrixSamples) source).values(), copies,
        factor, seed);
  }

  /// As [#parse] reads it.
  @Override
  public String toString() {
    if (noise == 0) {
      return "none";
    }
    String text = "noise:" + BigDecimal.valueOf(noise).stripTrailingZeros().toPlainString();
    return samples == DEFAULT.samples ? text : text + ":samples=" + samples;
  }
}
