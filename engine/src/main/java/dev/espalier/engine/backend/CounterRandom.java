package dev.espalier.engine.backend;

/// Random numbers as a function of their position, so that every backend, batch size and order of work gives
/// the same ones: SplitMix64's output function [Steele, Lea, Flood 2014] applied to a seed and two counters.
public final class CounterRandom {
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

  private static long mix(long z) {
    long a = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    long b = (a ^ (a >>> 27)) * 0x94d049bb133111ebL;
    return b ^ (b >>> 31);
  }
}
