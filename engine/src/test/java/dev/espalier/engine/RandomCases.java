package dev.espalier.engine;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.params.provider.Arguments;

/// Arguments for tests of properties: every combination of the parameters' edge cases, then random values, the same in
/// every run.
public final class RandomCases {
  private RandomCases() {}

  /// The values of a parameter.
  ///
  /// @param draw any value, not only those between the edge cases
  public record Parameter<T>(List<T> edgeCases, Function<Random, T> draw) {
    private T next(Random random) {
      return random.nextInt(20) == 0 ? edgeCases.get(random.nextInt(edgeCases.size())) : draw.apply(random);
    }
  }

  /// Whole numbers of 64 bits.
  public static Parameter<Long> longs() {
    return new Parameter<>(List.of(Long.MIN_VALUE, -1L, 0L, 1L, Long.MAX_VALUE), Random::nextLong);
  }

  /// Whole numbers of 32 bits.
  public static Parameter<Integer> ints() {
    return new Parameter<>(List.of(Integer.MIN_VALUE, Integer.MIN_VALUE + 1, -2, -1, 0, 1, 2, Integer.MAX_VALUE),
        Random::nextInt);
  }

  /// Whole numbers from `min` to `max`.
  public static Parameter<Integer> ints(int min, int max) {
    return new Parameter<>(Stream.of(min, min + 1, max - 1, max).distinct().toList(),
        random -> random.nextInt(min, max + 1));
  }

  /// Numbers from 0 to 1, half of them hundredths.
  public static Parameter<Double> fractions() {
    return new Parameter<>(List.of(-0.0, 0.0, Double.MIN_VALUE, 0.01, 0.5, 0.99, Math.nextDown(1.0), 1.0),
        random -> random.nextBoolean() ? random.nextInt(101) / 100.0 : random.nextDouble());
  }

  /// The edge cases in every combination, and random cases.
  ///
  /// @param count of the random cases
  public static Stream<Arguments> of(int count, Parameter<?>... parameters) {
    Random random = new Random(1);
    return Stream.concat(combinations(parameters).stream(), Stream
        .generate(() -> Stream.of(parameters).<Object>map(parameter -> parameter.next(random)).toList()).limit(count))
        .map(values -> Arguments.of(values.toArray()));
  }

  private static List<List<Object>> combinations(Parameter<?>... parameters) {
    List<List<Object>> combinations = List.of(List.of());
    for (Parameter<?> parameter : parameters) {
      combinations = combinations.stream().flatMap(first -> parameter.edgeCases.stream().map(last -> {
        List<Object> longer = new ArrayList<>(first);
        longer.add(last);
        return longer;
      })).toList();
    }
    return combinations;
  }
}
