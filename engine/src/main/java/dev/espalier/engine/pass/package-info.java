/// A network in the memory of a backend, and the passes of a batch over its graph: forward, and backward for
/// sensitivities and losses.
package dev.espalier.engine.pass;
