/// Matrices of float32 in host memory that somebody else owns.
package dev.espalier.engine.matrix;
