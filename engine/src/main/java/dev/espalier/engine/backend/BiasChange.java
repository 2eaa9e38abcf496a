package dev.espalier.engine.backend;

/// The change of a bias that compensates removed weights.
///
/// @param bias b, 1 × outputs, changed
/// @param compensation Δb, outputs × inputs: what the bias of a row gains for each weight removed from it
public record BiasChange(Matrix bias, Matrix compensation) {}
