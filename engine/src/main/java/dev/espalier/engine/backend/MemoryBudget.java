package dev.espalier.engine.backend;

/// Memory that a backend may take.
///
/// @param bytes      for matrices and workspace
/// @param forWeights the part of it for what [Backend#allocateWeights] allocates
public record MemoryBudget(long bytes, long forWeights) {}
