/// What all packages of the engine share: its exceptions, and the listener that a run reports to. Start at
/// [dev.espalier.engine.pruning.Pruner].
package dev.espalier.engine;
