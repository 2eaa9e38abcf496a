package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

class PathNotesTest {
  @Test
  void aNoteNamesTheNetworksItIsAboutUnlessAllAre() {
    assertEquals(List.of("all", "at --sparsity 0.5, 0.9: some", "at --sparsity 0.8: one"), PathNotes
        .of(List.of(0.5, 0.8, 0.9), List.of(List.of("some", "all"), List.of("all", "one"), List.of("all", "some"))));
    assertEquals(List.of(), PathNotes.of(List.of(0.5, 0.8), List.of(List.of(), List.of())));
  }
}
