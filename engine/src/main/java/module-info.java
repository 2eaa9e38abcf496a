/// The pruning library.
module dev.espalier.engine {
  requires dev.espalier.bindings;
  requires dev.espalier.kernels;
  requires com.samskivert.jmustache;
  requires de.siegmar.fastcsv;
  requires org.apache.commons.numbers.gamma;
  requires org.slf4j;
  requires tools.jackson.databind;
  requires static jdk.incubator.vector;

  exports dev.espalier.engine;
  exports dev.espalier.engine.backend;
  exports dev.espalier.engine.data;
  exports dev.espalier.engine.device;
  exports dev.espalier.engine.experiment;
  exports dev.espalier.engine.io;
  exports dev.espalier.engine.matrix;
  exports dev.espalier.engine.method;
  exports dev.espalier.engine.network;
  exports dev.espalier.engine.pass;
  exports dev.espalier.engine.pruning;
  exports dev.espalier.engine.report;
  exports dev.espalier.engine.scoring;
  exports dev.espalier.engine.statistics;
  exports dev.espalier.engine.training;

  // The page's view and labels are records that no other package needs.
  opens dev.espalier.engine.report to com.samskivert.jmustache, tools.jackson.databind;
}
