package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class NamesTest {
  private static final List<String> KNOWN = List.of("pressure", "temperature", "a", "id");

  @ParameterizedTest
  @CsvSource({"presure,pressure", "TEMPERATURE,temperature", "temprature,temperature", "ID,id", "ie,id", "A,a"})
  void namesWhatWasMeant(String unknown, String meant) {
    assertEquals("; did you mean \"%s\"?".formatted(meant), Names.suggestion(unknown, KNOWN));
  }

  @ParameterizedTest
  @CsvSource({"x", "volume", "bc"})
  void listsAllWhereNoneIsClose(String unknown) {
    assertEquals("; there are \"pressure\", \"temperature\", \"a\", \"id\"", Names.suggestion(unknown, KNOWN));
  }

  @Test
  void listsSomeOfMany() {
    List<String> many = IntStream.range(0, 30).mapToObj(i -> "column" + i).toList();
    String list = Names.suggestion("x", many);
    assertEquals("\"column19\", …", list.substring(list.lastIndexOf(' ', list.lastIndexOf(' ') - 1) + 1));
    assertEquals("; there are none", Names.suggestion("x", List.of()));
  }
}
