package dev.espalier.spark.cli;

import java.util.List;
import java.util.Optional;
import java.util.TreeMap;

/// Options of `espalier prune` and `score` that are none here, and what to do instead.
final class OneMachine {
  private static final TreeMap<String, String> INSTEAD = new TreeMap<>();

  static {
    put("training needs one machine: use espalier prune", "--fine-tune", "--learning-rate", "--patience");
    put("labels are a column of --data: give --label-column, for a search", "--labels", "--test-labels");
    put("the data are Parquet: leave it out", "--csv-separator", "--csv-decimal", "--csv-header");
    put("choose among the files or rows before, so that the partitions are known", "--max-samples");
    put("gather statistics by score, and prune by them on one machine: espalier prune --statistics FILE", "--mask",
        "--statistics");
    put("use espalier prune, on one machine", "--layers-from", "--augment", "--head", "--report", "--input-shape",
        "--times", "--verify");
    put("criterion ec-nonlinear, whose time it allows, needs one machine", "--allow-slow");
    put("Spark decides it: set spark.task.cpus", "--threads");
    put("each GPU's memory limits the batch: give --batch-size", "--device-memory");
    put("tasks compute in tf32 on GPUs and in fp32 on CPUs: leave it out", "--precision");
    put("partitions are the parts: use espalier score for parts of one file", "--part");
  }

  private OneMachine() {}

  private static void put(String instead, String... options) {
    for (String option : options) {
      INSTEAD.put(option, instead);
    }
  }

  /// One line about the first of some arguments that is such an option.
  static Optional<String> refusal(List<String> arguments) {
    return arguments.stream().map(argument -> argument.split("=", 2)[0]).filter(INSTEAD::containsKey).findFirst()
        .map(option -> "%s is not there on Spark: %s".formatted(option, INSTEAD.get(option)));
  }
}
