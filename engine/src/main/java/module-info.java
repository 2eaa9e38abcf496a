/// The pruning library.
module dev.espalier.engine {
  requires dev.espalier.bindings;
  requires dev.espalier.kernels;
  requires de.siegmar.fastcsv;
  requires org.apache.commons.numbers.gamma;
  requires tools.jackson.databind;
  requires static jdk.incubator.vector;

  exports dev.espalier.engine;
  exports dev.espalier.engine.backend;
  exports dev.espalier.engine.backend.cpu;
  exports dev.espalier.engine.backend.cuda;
  exports dev.espalier.engine.backend.reference;
  exports dev.espalier.engine.data;
  exports dev.espalier.engine.device;
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
}
