/// The pruning library.
module dev.espalier.engine {
  requires transitive dev.espalier.bindings;
  requires dev.espalier.kernels;
  requires com.samskivert.jmustache;
  requires de.siegmar.fastcsv;
  requires org.apache.commons.numbers.gamma;
  requires tools.jackson.databind;
  requires static jdk.incubator.vector;

  exports dev.espalier.engine.backend;
  exports dev.espalier.engine.calibration;
  exports dev.espalier.engine.compensation;
  exports dev.espalier.engine.criterion;
  exports dev.espalier.engine.io;
  exports dev.espalier.engine.network;
  exports dev.espalier.engine.pruning;
  exports dev.espalier.engine.report;
  exports dev.espalier.engine.schedule;
  exports dev.espalier.engine.selection;
  exports dev.espalier.engine.sensitivity;
  exports dev.espalier.engine.training;

  // The page's view and labels are records that no other package needs.
  opens dev.espalier.engine.report to com.samskivert.jmustache, tools.jackson.databind;
}
