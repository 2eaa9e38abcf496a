/// What all packages of the engine share: its exceptions, and the listener that a run reports to. Start at
/// [dev.espalier.engine.pruning.Pruner].
///
/// Prunes a model file:
///
/// {@snippet class="dev.espalier.engine.ReadmeExampleTest" region="prune"}
///
/// Prunes a network that is in memory; a whole program, with its imports:
///
/// {@snippet class="com.example.Embed"}
///
/// Prunes the last layer of a network in place, where its weights are on the GPU:
///
/// {@snippet class="dev.espalier.engine.ReadmeExampleTest" region="pruneInPlace"}
///
/// Prunes by samples that are on a Spark cluster, with the module `espalier-spark`:
///
/// {@snippet class="com.example.SparkExample" region="prune"}
package dev.espalier.engine;
