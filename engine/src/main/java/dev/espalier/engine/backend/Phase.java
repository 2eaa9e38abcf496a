package dev.espalier.engine.backend;

/// The phases of a run, for timings. The time of a repair is all that it takes, its passes included.
public enum Phase {
  /// Reading models, samples and labels.
  LOAD,
  /// Forward passes.
  FORWARD,
  /// Backward passes.
  BACKWARD,
  /// Moments and scores.
  MOMENTS,
  /// Selecting and removing weights, and moving biases.
  SELECT,
  /// Repairs by `refit`.
  REFIT,
  /// Repairs by `joint`.
  JOINT,
  /// Repairs by `distill`.
  DISTILL,
  /// Training of a pruned network with labels.
  FINE_TUNE,
  /// Optimiser steps of other training.
  UPDATE,
  /// Writing files.
  WRITE
}
