package dev.espalier.engine;

/// Random numbers as a function of their position, so that every backend, batch size and order of work gives the same
/// ones, and a run that is resumed goes on with them: SplitMix64's output function [Steele, Lea, Flood 2014] applied to
/// a seed and two counters. Uses that may share a seed take streams of their own: [#WEIGHTS], [#SHUFFLES] and
/// [#NOISE], and those from 0 on for probes and random scores.
public final class CounterRandom {
  /// The stream of the initial weights of layer 0; the next layers have the next ones.
  public static final long WEIGHTS = 1L << 40;

  /// The stream of the order of samples in epoch 0; the next epochs have the next ones.
  public static final long SHUFFLES = 2L << 40;

  /// The stream of the noise on samples.
  public static final long NOISE = 3L << 40;

  private static final long GOLDEN = 0x9e3779b97f4a7c15L;

  private CounterRandom() {}

  /// 64 random bits: mix(mix(seed + GOLDEN·(stream + 1)) + GOLDEN·(index + 1)), all modulo 2⁶⁴.
  public static long bits(long seed, long stream, long index) {
    return mix(mix(seed + GOLDEN * (stream + 1)) + GOLDEN * (index + 1));
  }

  /// +1 or −1 for output k of a sample in a probe: −1 where bit k mod 64 of `bits(seed, probe, sample ·
  /// ⌈outputs / 64⌉ + ⌊k / 64⌋)` is set.
  public static int sign(long seed, long probe, long sample, int k, int outputs) {
    long word = bits(seed, probe, sample * ((outputs + 63) / 64) + k / 64);
    return (word >>> (k % 64) & 1) == 0 ? 1 : -1;
  }

  /// A multiple of 2⁻²⁴ in [0, 1): the top 24 bits.
  public static float uniform(long seed, long stream, long index) {
    return (bits(seed, stream, index) >>> 40) * 0x1p-24f;
  }

  /// A whole number from 0 to `bound` − 1.
  ///
  /// @param bound at least 1
  public static int below(int bound, long seed, long stream, long index) {
    return (int) Math.unsignedMultiplyHigh(bits(seed, stream, index), bound);
  }

  /// A number of the standard normal distribution, by the transform of Box and Muller [1958] of words 2 index and
  /// 2 index + 1.
  public static double gaussian(long seed, long stream, long index) {
    double radius = ((bits(seed, stream, 2 * index) >>> 11) + 1) * 0x1p-53; // above 0
    double angle = (bits(seed, stream, 2 * index + 1) >>> 11) * 0x1p-53;
    return StrictMath.sqrt(-2 * StrictMath.log(radius)) * StrictMath.cos(2 * Math.PI * angle);
  }

  private static long mix(long z) {
    long a = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    long b = (a ^ (a >>> 27)) * 0x94d049bb133111ebL;
    return b ^ (b >>> 31);
  }
}
