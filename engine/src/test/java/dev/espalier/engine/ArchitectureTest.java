package dev.espalier.engine;

import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.belongToAnyOf;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;
import dev.espalier.engine.pruning.Verification;
import java.util.List;

/// How the packages of the engine depend on each other.
@AnalyzeClasses(packages = "dev.espalier.engine", importOptions = ImportOption.DoNotIncludeTests.class)
final class ArchitectureTest {
  private static final String ENGINE = "dev.espalier.engine";

  /// From the bottom up: a package uses packages of lower layers, and none of its own.
  private static final List<List<String>> LAYERS = List.of(List.of("matrix"), List.of("network", "data"),
      List.of("io", "backend"), List.of("statistics", "device"), List.of("method", "report"), List.of("pass"),
      List.of("scoring", "training"), List.of("repair"), List.of("pruning"), List.of("experiment"));

  private ArchitectureTest() {}

  private static String[] packages(List<String> names) {
    return names.stream().map(name -> "%s.%s..".formatted(ENGINE, name)).toArray(String[]::new);
  }

  private static List<String> flat(List<List<String>> layers) {
    return layers.stream().flatMap(List::stream).toList();
  }

  @ArchTest
  static final ArchRule PACKAGES_HAVE_NO_CYCLES = slices().matching(ENGINE + ".(*)..").should().beFreeOfCycles();

  @ArchTest
  static final ArchRule EVERY_PACKAGE_HAS_A_LAYER = classes().that().resideOutsideOfPackage(ENGINE).should()
      .resideInAnyPackage(packages(flat(LAYERS)));

  @ArchTest
  static void packagesUseLowerLayersOnly(JavaClasses engine) {
    for (int layer = 0; layer < LAYERS.size(); layer++) {
      for (String name : LAYERS.get(layer)) {
        List<String> others = flat(LAYERS.subList(layer, LAYERS.size())).stream().filter(other -> !other.equals(name))
            .toList();
        if (!others.isEmpty()) {
          noClasses().that().resideInAPackage("%s.%s..".formatted(ENGINE, name)).should().dependOnClassesThat()
              .resideInAnyPackage(packages(others)).check(engine);
        }
      }
    }
  }

  @ArchTest
  static final ArchRule WHAT_ALL_SHARE_USES_NO_PACKAGE = noClasses().that().resideInAPackage(ENGINE).should()
      .dependOnClassesThat().resideInAPackage(ENGINE + ".*..");

  @ArchTest
  static final ArchRule MACHINES_KNOW_NOTHING_OF_EACH_OTHER = slices().matching(ENGINE + ".backend.(*)..").should()
      .notDependOnEachOther();

  @ArchTest
  static final ArchRule ONLY_DEVICE_KNOWS_THE_MACHINES = noClasses()
      .that(not(resideInAnyPackage(ENGINE + ".backend.*..", ENGINE + ".device..")).and(not(verification()))).should()
      .dependOnClassesThat().resideInAPackage(ENGINE + ".backend.*..");

  @ArchTest
  static final ArchRule VERIFICATION_KNOWS_THE_REFERENCE_ONLY = noClasses().that(verification()).should()
      .dependOnClassesThat().resideInAnyPackage(ENGINE + ".backend.cpu..", ENGINE + ".backend.cuda..");

  @ArchTest
  static final ArchRule VALUES_NEED_NO_MACHINE = noClasses().that()
      .resideInAnyPackage(packages(List.of("matrix", "network", "data", "method", "io", "report"))).should()
      .dependOnClassesThat().resideInAPackage(ENGINE + ".backend..");

  @ArchTest
  static final ArchRule REPORTS_SHOW_WHAT_OTHERS_FOUND = classes().that().resideInAPackage(ENGINE + ".report..")
      .should().onlyDependOnClassesThat(not(resideInAPackage(ENGINE + "..")).or(resideInAPackage(ENGINE))
          .or(resideInAnyPackage(packages(List.of("report", "io", "statistics", "network")))));

  @ArchTest
  static final ArchRule ONLY_MACHINES_KNOW_NATIVE_LIBRARIES_AND_KERNELS = noClasses()
      .that(not(resideInAnyPackage(ENGINE + ".backend.cpu..", ENGINE + ".backend.cuda..", ENGINE + ".device..")))
      .should().dependOnClassesThat().resideInAnyPackage("dev.espalier.bindings..", "dev.espalier.kernels..");

  /// The module is there only if the JVM was asked to load it.
  @ArchTest
  static final ArchRule ONLY_THE_CPU_KNOWS_THE_VECTOR_API = noClasses()
      .that(not(resideInAPackage(ENGINE + ".backend.cpu.."))).should().dependOnClassesThat()
      .resideInAPackage("jdk.incubator.vector..");

  @ArchTest
  static final ArchRule FAILURES_ARE_OF_ONE_FAMILY = classes().that().areAssignableTo(RuntimeException.class).should()
      .beAssignableTo(EspalierException.class).andShould().resideInAPackage(ENGINE);

  private static DescribedPredicate<JavaClass> verification() {
    return belongToAnyOf(Verification.class);
  }
}
