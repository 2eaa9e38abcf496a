package dev.espalier.engine.backend;

/// The sum to which the squares of a gradient g are added: s += scale · Σ over copies of g².
///
/// @param sensitivity s, samples × outputs, added to
/// @param alone whether nothing but the squares is wanted: the memory for g is then scratch
public record Squares(double scale, Matrix sensitivity, boolean alone) {}
