package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.ResourceBundle;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;
import picocli.CommandLine.Model.ArgGroupSpec;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.PositionalParamSpec;

/// `Help.properties` has a text for each part of each page of `--help`, and no other.
class HelpTest {
  private static final List<String> PARTS = Stream.of("header", "customSynopsis", "synopsisHeading",
      "synopsisSubcommandLabel", "description", "optionListHeading", "commandListHeading", "footerHeading", "footer")
      .map(part -> "usage." + part).toList();
  private static final ResourceBundle TEXTS = ResourceBundle.getBundle("dev.espalier.cli.Help", Locale.ROOT);
  private static final CommandLine ESPALIER = Espalier.commandLine();

  @Test
  void everyOptionAndCommandHasADescription() {
    for (CommandSpec command : commands()) {
      assertText(command.usageMessage().header(), command, "header");
      assertText(command.usageMessage().footer(), command, "footer");
      assertText(command.parent() == null ? command.usageMessage().header() : command.usageMessage().description(),
          command, "description");
      for (ArgSpec argument : command.args()) {
        assertText(argument.description(), command, argument);
      }
      for (ArgGroupSpec group : command.argGroups()) {
        assertText(new String[]{group.heading()}, command, group.headingKey());
      }
    }
  }

  @Test
  void everyTextIsUsed() {
    Set<String> unused = new TreeSet<>(TEXTS.keySet());
    for (CommandSpec command : commands()) {
      for (String key : keys(command)) {
        String ownKey = command.qualifiedName(".") + "." + key;
        String found = lines(ownKey).isEmpty() ? key : ownKey;
        unused.removeAll(lines(found));
      }
    }
    assertEquals(Set.of(), unused);
  }

  /// As a user types it, not as Java prints a list.
  @Test
  void saysTheDefaultOfEachListAsItIsTyped() {
    int lists = 0;
    for (CommandSpec command : commands()) {
      for (OptionSpec option : command.options()) {
        if (option.getValue() instanceof Collection<?> list && !list.isEmpty()) {
          String typed = "default: " + list.stream().map(Object::toString).collect(Collectors.joining(","));
          assertTrue(String.join(" ", option.description()).contains(typed), option + ": " + typed);
          lists++;
        }
      }
    }
    assertTrue(lists >= 5, lists + " lists");
  }

  @Test
  void namesTheValuesThatThereAre() throws ReflectiveOperationException {
    assertNames("prune", "--criterion", values(Criterion.class));
    assertNames("prune", "--compensation", values(Compensation.class));
    assertNames("prune", "--scope", values(Scope.class));
    assertNames("prune", "--schedule",
        List.of(new Schedule.OneShot(), "linear:K", "geometric:K", "cubic:K", new Schedule.Keeping(0.75)));
    assertNames("prune", "--method", Arrays.asList(Preset.values()));
    assertNames("prune", "--repair", values(Repair.class));
    assertNames("prune", "--sensitivity",
        List.of(new Sensitivity.Jacobian(), "probes:R", "fisher", "fisher:R", "fisher:T=4", "smooth=0.2"));
    assertNames("compare", "--criteria", values(Criterion.class));
    assertNames("compare", "--scope", values(Scope.class));
    assertNames("compare", "--criteria", List.of(new Scope.PerLayer()));
    for (String command : List.of("prune", "compare", "evaluate", "train")) {
      assertNames(command, "--loss", values(Loss.class));
      assertNames(command, "--activations", Arrays.asList(Activation.Kind.values()));
      assertNames(command, "--precision", Arrays.asList(Precision.values()));
      assertNames(command, "--device", Arrays.stream(Device.Kind.values())
          .map(kind -> new Device(kind, kind == Device.Kind.CUDA ? List.of(0) : List.of())).toList());
    }
  }

  @Test
  void helpShowsWhatTheOptionShows() {
    assertEquals(Cli.succeed("--help").out(), Cli.succeed("help").out());
    for (String command : ESPALIER.getSubcommands().keySet()) {
      String page = Cli.succeed("help", command).out();
      assertTrue(page.contains("Usage: espalier " + command), page);
      assertEquals(Cli.succeed(command, "--help").out(), page);
    }
  }

  /// Where picocli cannot format a text, it says so on every page and prints the text as it is.
  @Test
  void everyTextCanBeFormatted() {
    for (CommandSpec command : commands()) {
      String page = command.commandLine().getUsageMessage();
      assertFalse(page.contains("%n") || page.contains("%%"), page);
    }
  }

  private static void assertNames(String command, String option, Collection<?> values) {
    String text = String.join(" ",
        ESPALIER.getSubcommands().get(command).getCommandSpec().findOption(option).description());
    for (Object value : values) {
      assertTrue(text.matches(".*\\b%s\\b.*".formatted(value)), () -> "%s %s: %s".formatted(command, option, value));
    }
  }

  /// The cases of a sealed interface, those of a case that is one itself too.
  private static List<Object> values(Class<?> choice) throws ReflectiveOperationException {
    List<Object> values = new ArrayList<>();
    for (Class<?> type : choice.getPermittedSubclasses()) {
      if (type.isInterface()) {
        values.addAll(values(type));
      } else {
        values.add(type.getDeclaredConstructor().newInstance());
      }
    }
    return values;
  }

  private static Collection<CommandSpec> commands() {
    return Stream.concat(Stream.of(ESPALIER), ESPALIER.getSubcommands().values().stream())
        .map(CommandLine::getCommandSpec).toList();
  }

  /// What picocli looks up for a command, with and without the name of the command before it.
  private static List<String> keys(CommandSpec command) {
    return Stream
        .of(PARTS.stream(), command.options().stream().map(OptionSpec::longestName).map(name -> name.substring(2)),
            command.positionalParameters().stream().map(HelpTest::key),
            command.argGroups().stream().map(ArgGroupSpec::headingKey))
        .flatMap(keys -> keys).toList();
  }

  private static String key(PositionalParamSpec parameter) {
    return "%s[%s]".formatted(parameter.paramLabel(), parameter.index());
  }

  /// The key itself, or those of its lines, which are numbered.
  private static List<String> lines(String key) {
    return TEXTS.keySet().stream().filter(each -> each.replaceFirst("\\.\\d+$", "").equals(key)).toList();
  }

  private static void assertText(String[] lines, CommandSpec command, Object of) {
    assertTrue(lines != null && !String.join("", lines).isBlank(), () -> command.qualifiedName() + ": " + of);
  }
}
