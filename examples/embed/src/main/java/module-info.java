/// A program that uses Espalier. Without this file, everything is on the class path.
module com.example.embed {
  requires dev.espalier.engine;
}
