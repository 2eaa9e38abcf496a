package dev.espalier.engine.data;

/// What a user should know of how a source is read: a fact that follows from its content, not from what was asked for.
///
/// @param text one clause that begins with the name of the source
public record SourceNote(Topic topic, String text) {
  /// What a note is about.
  public enum Topic {
    /// How a text file was understood.
    FORM,
    /// Numbers that may have to be scaled.
    SCALE
  }
}
