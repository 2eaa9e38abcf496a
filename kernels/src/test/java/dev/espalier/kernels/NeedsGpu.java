package dev.espalier.kernels;

import java.util.Optional;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtensionContext;

/// Reports each test of a class as skipped where there is no CUDA device, with the reason.
@SuppressWarnings("exports") // JUnit is not what this module exports
public class NeedsGpu implements ExecutionCondition {
  /// JUnit makes it.
  public NeedsGpu() {}

  /// Why tests cannot run on a device, if they cannot.
  static Optional<String> problem() {
    return CudaGpu.isBuilt() ? JCudaLoader.problem() : Optional.of("this build has no GPU kernels: it had no nvcc");
  }

  @Override
  public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
    if (context.getTestMethod().isEmpty()) { // every test is to be reported, not just their class
      return ConditionEvaluationResult.enabled("");
    }
    return problem().map(ConditionEvaluationResult::disabled)
        .orElseGet(() -> ConditionEvaluationResult.enabled("there is a device"));
  }
}
