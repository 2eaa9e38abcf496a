package dev.espalier.engine.scoring;

import dev.espalier.engine.backend.Matrix;
import java.util.Optional;

/// The scores of one layer, in the memory of a backend.
///
/// @param number of the layer in its network, from 0
/// @param name of the layer
/// @param importance I, outputs × inputs, at least 0
/// @param compensation Δb, outputs × inputs: what the bias of a row gains when the weight is removed
/// @param meanSensitivity `E[s]` of each neuron, where it was needed
record LayerScores(int number, String name, Matrix importance, Optional<Matrix> compensation,
    Optional<float[]> meanSensitivity) {}
