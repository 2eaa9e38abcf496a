/// The pruning library: removes weights of trained fully-connected networks by elimination and compensation, on CPUs
/// and NVIDIA GPUs. It needs samples of the network's input, and no labels.
///
/// | to | start at |
/// |---|---|
/// | choose criterion, compensation, schedule, repair | [dev.espalier.engine.pruning.PruningOptions] |
/// | choose the machine, its threads, precision and memory | [dev.espalier.engine.device.Device] |
/// | read and write model files | [dev.espalier.engine.io.ModelFile] |
/// | read samples and labels, or pass arrays | [dev.espalier.engine.io.SampleFiles], [dev.espalier.engine.data.Dataset] |
/// | build a network in memory | [dev.espalier.engine.network.DenseNetwork] |
/// | prune | [dev.espalier.engine.pruning.Pruner]; four examples, from a file to a cluster, are in [dev.espalier.engine] |
/// | prune the layers of any network, by inputs of their own | [dev.espalier.engine.pruning.LayerPruning] |
/// | prune to many sparsities, or compare criteria | [dev.espalier.engine.experiment.Comparison] |
/// | train, fine-tune, evaluate | [dev.espalier.engine.training.Trainer], [dev.espalier.engine.training.Evaluation] |
///
/// Java needs `--enable-native-access=dev.espalier.bindings,jcuda,jcublas` (`ALL-UNNAMED` on the class path). With
/// `--add-modules jdk.incubator.vector`, the CPU skips units that ReLU leaves dead. Logging is by SLF4J.
@SuppressWarnings("requires-automatic") // Hardwood is not modular
module dev.espalier.engine {
  requires dev.espalier.bindings;
  requires dev.espalier.kernels;
  requires com.samskivert.jmustache;
  requires de.siegmar.fastcsv;
  requires dev.hardwood.core;
  requires jdk.jfr; // Hardwood calls it, and as an automatic module cannot say so
  requires org.apache.commons.numbers.gamma;
  requires org.slf4j;
  requires tools.jackson.databind;

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
  exports dev.espalier.engine.repair;
  exports dev.espalier.engine.report;
  exports dev.espalier.engine.scoring;
  exports dev.espalier.engine.statistics;
  exports dev.espalier.engine.training;

  // What a checkpoint's JSON holds.
  opens dev.espalier.engine.pruning to tools.jackson.databind;
  opens dev.espalier.engine.experiment to tools.jackson.databind;
  // The page's view and labels are records that no other package needs.
  opens dev.espalier.engine.report to com.samskivert.jmustache, tools.jackson.databind;
}
