/// Networks: a [graph][dev.espalier.engine.network.Graph] of nodes, of which the dense ones have weights and biases in
/// host memory.
package dev.espalier.engine.network;
