/// Native libraries as Java sees them: off-heap matrices, library loading, generated bindings.
module dev.espalier.bindings {
  exports dev.espalier.bindings;
}
