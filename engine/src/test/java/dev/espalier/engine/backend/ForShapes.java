package dev.espalier.engine.backend;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Tests three sizes: some straddle vector lanes and tiles, some are cut into tiles or spread over threads.
@ParameterizedTest
@CsvSource({"1, 1, 1", "1, 7, 9", "8, 9, 31", "33, 31, 7", "65, 33, 8", "9, 1, 33", "130, 300, 140", "70, 60, 520",
    "120, 9, 2048", "3, 1100, 5", "300, 500, 5"})
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
@interface ForShapes {}
