/// Pruning from options to result: every choice [planned][dev.espalier.engine.pruning.PruningPlan] first, then the
/// rounds of a schedule, and what they did to the output. Start at [dev.espalier.engine.pruning.Pruner].
package dev.espalier.engine.pruning;
