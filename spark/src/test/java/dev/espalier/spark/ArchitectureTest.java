package dev.espalier.spark;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/// What this module may use. It has no descriptor that would say so.
@AnalyzeClasses(packages = "dev.espalier.spark", importOptions = ImportOption.DoNotIncludeTests.class)
final class ArchitectureTest {
  private ArchitectureTest() {}

  @ArchTest
  static final ArchRule ONLY_THE_ENGINE = noClasses().should().dependOnClassesThat()
      .resideInAnyPackage("dev.espalier.bindings..", "dev.espalier.kernels..", "dev.espalier.cli..");

  @ArchTest
  static final ArchRule ONLY_WHAT_THE_ENGINE_EXPORTS = noClasses().should().dependOnClassesThat()
      .resideInAnyPackage("dev.espalier.engine.backend.*..");

  @ArchTest
  static final ArchRule THE_LIBRARY_KNOWS_NO_COMMAND_LINE = noClasses().that().resideInAPackage("dev.espalier.spark")
      .should().dependOnClassesThat().resideInAnyPackage("picocli..", "dev.espalier.spark.cli..");
}
