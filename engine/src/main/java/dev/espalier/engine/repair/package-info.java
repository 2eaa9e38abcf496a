/// Repairs: what is done to the weights that are left, so that the pruned network comes closer to the dense one.
package dev.espalier.engine.repair;
