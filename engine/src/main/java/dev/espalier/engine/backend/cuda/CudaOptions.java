package dev.espalier.engine.backend.cuda;

import dev.espalier.engine.backend.Precision;
import java.util.OptionalLong;

/// How a GPU is used.
///
/// @param precision of large products
/// @param memory bytes to take at most; empty: the free memory, less a reserve
public record CudaOptions(Precision precision, OptionalLong memory) {}
