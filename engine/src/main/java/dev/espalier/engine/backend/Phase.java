package dev.espalier.engine.backend;

/// The phases of a run, for timings.
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
  /// Least squares and the sums that they need.
  REPAIR,
  /// Optimiser steps.
  UPDATE,
  /// Writing files.
  WRITE
}
