package dev.espalier.engine.report;

import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;

/// The report of one command. Absent values are absent from `report.json`, and their sections from `report.html`.
///
/// @param command for example `prune`
/// @param version of Espalier
/// @param time when the command ended, kept to the second
/// @param summary one sentence about the run
/// @param accuracy of the network as it is now, 0..1
/// @param loss of the network as it is now
/// @param lossName for example `cross-entropy`
/// @param denseAccuracy of the network before pruning, 0..1
/// @param denseLoss of the network before pruning
/// @param outputChange E‖y − y_pruned‖² of the whole network, in squared output units
/// @param gain what the zeros of the network are worth
/// @param predictedTimes of the network, where times of such layers were measured
/// @param graph how the network's nodes are connected
/// @param layers from the input on
/// @param comparison one curve a criterion
/// @param deviations of the backend's scores from the reference's, if they were compared
/// @param timings seconds by phase, in order: load, forward, backward, moments, select, refit, joint, distill,
///                fine-tune, update, write; those of a repair with all its passes, if there was one
/// @param work multiply-adds of matrix products, estimated, by what takes them: scoring, and each repair
/// @param notes facts that the user should know, for example that a layer gained a bias
/// @param options every option in force, in order: text, booleans, finite numbers, lists of these; anything
///                else is kept as its `toString()`
@JsonPropertyOrder({"command", "version", "time", "summary"})
public record Report(String command, String version, Instant time, Optional<String> summary, OptionalDouble accuracy,
    OptionalDouble loss, Optional<String> lossName, OptionalDouble denseAccuracy, OptionalDouble denseLoss,
    OptionalDouble outputChange, Optional<ModelSummary> model, Optional<Gain> gain, List<PredictedTime> predictedTimes,
    Optional<GraphReport> graph, List<LayerReport> layers, List<Curve> comparison, Optional<Deviations> deviations,
    Map<String, Double> timings, Map<String, Double> work, List<String> notes, Map<String, Object> options) {

  /// @throws IllegalArgumentException if a value is out of range or not finite, or two curves have the same
  ///                                  name
  public Report {
    Checks.text("command", command);
    Checks.text("version", version);
    time = time.truncatedTo(ChronoUnit.SECONDS);
    summary.ifPresent(text -> Checks.text("summary", text));
    Checks.fraction("accuracy", accuracy);
    Checks.finite("loss", loss);
    lossName.ifPresent(text -> Checks.text("lossName", text));
    Checks.fraction("denseAccuracy", denseAccuracy);
    Checks.finite("denseLoss", denseLoss);
    Checks.nonNegative("outputChange", outputChange);
    Objects.requireNonNull(model, "model");
    Objects.requireNonNull(gain, "gain");
    predictedTimes = List.copyOf(predictedTimes);
    Objects.requireNonNull(graph, "graph");
    layers = List.copyOf(layers);
    comparison = List.copyOf(comparison);
    if (comparison.stream().map(Curve::criterion).distinct().count() < comparison.size()) {
      throw new IllegalArgumentException(
          "curves of the same name: " + comparison.stream().map(Curve::criterion).toList());
    }
    Objects.requireNonNull(deviations, "deviations");
    timings = Collections.unmodifiableMap(new LinkedHashMap<>(timings));
    timings.forEach((phase, seconds) -> Checks.nonNegative("timings." + phase, seconds));
    work = Collections.unmodifiableMap(new LinkedHashMap<>(work));
    work.forEach((part, count) -> Checks.nonNegative("work." + part, count));
    notes = List.copyOf(notes);
    Map<String, Object> values = new LinkedHashMap<>();
    options.forEach((name, value) -> values.put(name, plain(name, value)));
    options = Collections.unmodifiableMap(values);
  }

  /// Starts a report that holds nothing else yet.
  public static Builder builder(String command, String version, Instant time) {
    return new Builder(command, version, time);
  }

  private static Object plain(String name, Object value) {
    return switch (Objects.requireNonNull(value, name)) {
      case Number number -> {
        Checks.finite(name, number.doubleValue());
        yield number;
      }
      case Boolean flag -> flag;
      case Collection<?> list -> list.stream().map(element -> plain(name, element)).toList();
      default -> value.toString();
    };
  }

  /// Collects the parts of a report; used by one thread.
  public static final class Builder {
    private final String command;
    private final String version;
    private final Instant time;
    private Optional<String> summary = Optional.empty();
    private OptionalDouble accuracy = OptionalDouble.empty();
    private OptionalDouble loss = OptionalDouble.empty();
    private Optional<String> lossName = Optional.empty();
    private OptionalDouble denseAccuracy = OptionalDouble.empty();
    private OptionalDouble denseLoss = OptionalDouble.empty();
    private OptionalDouble outputChange = OptionalDouble.empty();
    private Optional<ModelSummary> model = Optional.empty();
    private Optional<Gain> gain = Optional.empty();
    private List<PredictedTime> predictedTimes = List.of();
    private Optional<GraphReport> graph = Optional.empty();
    private List<LayerReport> layers = List.of();
    private List<Curve> comparison = List.of();
    private Optional<Deviations> deviations = Optional.empty();
    private Map<String, Double> timings = Map.of();
    private Map<String, Double> work = Map.of();
    private List<String> notes = List.of();
    private Map<String, Object> options = Map.of();

    private Builder(String command, String version, Instant time) {
      this.command = command;
      this.version = version;
      this.time = time;
    }

    public Builder summary(String value) {
      summary = Optional.of(value);
      return this;
    }

    public Builder accuracy(double value) {
      accuracy = OptionalDouble.of(value);
      return this;
    }

    public Builder loss(String name, double value) {
      lossName = Optional.of(name);
      loss = OptionalDouble.of(value);
      return this;
    }

    /// Names the loss of the curves where the report has no loss of its own.
    public Builder lossName(String name) {
      lossName = Optional.of(name);
      return this;
    }

    public Builder denseAccuracy(double value) {
      denseAccuracy = OptionalDouble.of(value);
      return this;
    }

    public Builder denseLoss(double value) {
      denseLoss = OptionalDouble.of(value);
      return this;
    }

    public Builder outputChange(double value) {
      outputChange = OptionalDouble.of(value);
      return this;
    }

    public Builder model(long weights, long removed) {
      model = Optional.of(new ModelSummary(weights, removed));
      return this;
    }

    public Builder gain(Gain value) {
      gain = Optional.of(value);
      return this;
    }

    public Builder predictedTimes(List<PredictedTime> value) {
      predictedTimes = value;
      return this;
    }

    public Builder graph(GraphReport value) {
      graph = Optional.of(value);
      return this;
    }

    public Builder layers(List<LayerReport> value) {
      layers = value;
      return this;
    }

    public Builder comparison(List<Curve> value) {
      comparison = value;
      return this;
    }

    public Builder deviations(Deviations value) {
      deviations = Optional.of(value);
      return this;
    }

    public Builder timings(Map<String, Double> value) {
      timings = value;
      return this;
    }

    public Builder work(Map<String, Double> value) {
      work = value;
      return this;
    }

    public Builder notes(List<String> value) {
      notes = value;
      return this;
    }

    public Builder options(Map<String, Object> value) {
      options = value;
      return this;
    }

    /// The report of what was given so far.
    ///
    /// @throws IllegalArgumentException if a value is out of range or not finite, or two curves have the same
    ///                                  name
    public Report build() {
      return new Report(command, version, time, summary, accuracy, loss, lossName, denseAccuracy, denseLoss,
          outputChange, model, gain, predictedTimes, graph, layers, comparison, deviations, timings, work, notes,
          options);
    }
  }
}
