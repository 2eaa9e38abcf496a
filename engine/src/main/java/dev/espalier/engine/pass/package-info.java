/// A network in the memory of a backend, and the passes of a batch over its graph: forward, backward for
/// sensitivities and losses, and tangent passes for Gauss-Newton.
package dev.espalier.engine.pass;
