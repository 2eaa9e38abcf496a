/// Native libraries as Java sees them: library loading, generated bindings.
module dev.espalier.bindings {
  exports dev.espalier.bindings;
}
