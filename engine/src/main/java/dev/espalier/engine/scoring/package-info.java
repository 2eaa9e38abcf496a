/// Scores: importances and compensations of weights from one pass over the samples, and the selection of the weights to
/// remove, which changes neither scores nor network.
package dev.espalier.engine.scoring;
