/// What all packages of the engine share: its exceptions, and the listener that a run reports to. Start at
/// [dev.espalier.engine.pruning.Pruner].
///
/// Prunes a model file:
///
/// {@snippet class="dev.espalier.engine.ReadmeExampleTest" region="prune"}
///
/// Prunes the last layer of a network in place, where its weights are on the GPU:
///
/// {@snippet class="dev.espalier.engine.ReadmeExampleTest" region="pruneInPlace"}
package dev.espalier.engine;
