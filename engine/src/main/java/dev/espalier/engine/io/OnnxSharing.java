package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.Nouns;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// Gives each layer of an ONNX model weights and a bias of its own, or the mean of a batch normalisation that takes its
/// bias: a tensor that several nodes read, one of them as such, is repeated for each but the first. Nodes with the same
/// weights and the same bias, or none, are one tied layer, and share. The model computes the same.
final class OnnxSharing {
  private static final int NODE_INPUT = 1;

  private final Path path;
  private final OnnxContent content;
  /// The nodes of the network.
  private final Set<OnnxNode> needed;
  /// By the name of a tensor, the places where nodes read it.
  private final Map<String, List<Use>> uses = new LinkedHashMap<>();

  /// @param input number of the node's input
  private record Use(OnnxNode node, int input) {}

  /// A model without shared weights.
  ///
  /// @param notes which tensors were repeated
  record Unshared(MemorySegment content, List<String> notes) {}

  private OnnxSharing(Path path, OnnxContent content) throws FormatException {
    this.path = path;
    this.content = content;
    needed = content.needed();
    for (OnnxNode node : content.nodes()) {
      boolean isNamed = !node.outputs().isEmpty() && !node.outputs().getFirst().isEmpty();
      for (int i = 0; isNamed && i < node.inputs().size(); i++) {
        if (content.isConstant(node.inputs().get(i))) {
          uses.computeIfAbsent(content.tensorName(node.inputs().get(i)), _ -> new ArrayList<>()).add(new Use(node, i));
        }
      }
    }
  }

  /// @param arena takes the memory of the model, if something is shared
  /// @throws FormatException if a shared tensor stands among the inputs
  static Unshared of(Path path, MemorySegment model, OnnxExternal external, Optional<String> from, Arena arena)
      throws FormatException {
    OnnxContent content = OnnxContent.of(path, model, external, from);
    return new OnnxSharing(path, content).unshare(model, arena);
  }

  private Unshared unshare(MemorySegment model, Arena arena) throws FormatException {
    Map<String, Map<Integer, String>> renamed = new HashMap<>(); // by the first output of a node, its inputs
    Map<String, String> copies = new LinkedHashMap<>(); // the name of the tensor by that of its copy
    List<String> notes = new ArrayList<>();
    for (Map.Entry<String, List<Use>> tensor : uses.entrySet()) {
      boolean isShared = tensor.getValue().size() > 1 && isOfLayer(tensor.getValue());
      List<List<Use>> owners = isShared ? owners(tensor.getValue()) : List.of();
      if (owners.size() > 1) {
        for (List<Use> owner : copied(owners)) {
          String copy = unused(tensor.getKey(), copies);
          copies.put(copy, tensor.getKey());
          owner.forEach(
              use -> renamed.computeIfAbsent(use.node.outputs().getFirst(), _ -> new HashMap<>()).put(use.input, copy));
        }
        notes.add(note(tensor.getKey(), owners, tensor.getValue()));
      }
    }
    return copies.isEmpty()
        ? new Unshared(model, List.of())
        : new Unshared(rewritten(model, renamed, copies, arena), notes);
  }

  private static String note(String tensor, List<List<Use>> owners, List<Use> of) {
    long nodes = of.stream().map(Use::node).distinct().count();
    if (nodes < of.size()) {
      return "tensor %s is read %d times, by %s: each reads a copy of its own now".formatted(quote(tensor), of.size(),
          Nouns.counted(nodes, "node"));
    }
    return owners.size() == nodes
        ? "tensor %s is shared by %d nodes: each has a copy of its own now".formatted(quote(tensor), nodes)
        : "tensor %s is shared by %d nodes, some of which are one layer: each layer has a copy of its own now"
            .formatted(quote(tensor), nodes);
  }

  /// The owners that get a copy: all but the first, or, if nodes outside of the network read the tensor too, all in it.
  private List<List<Use>> copied(List<List<Use>> of) {
    List<List<Use>> own = of.stream().filter(owner -> needed.contains(owner.getFirst().node)).toList();
    return own.size() < of.size() ? own : own.subList(1, own.size());
  }

  /// The uses of a tensor, those of one tied layer together.
  private List<List<Use>> owners(List<Use> of) throws FormatException {
    Map<String, List<Use>> owners = new LinkedHashMap<>();
    for (int i = 0; i < of.size(); i++) {
      Use use = of.get(i);
      Optional<String> layer = needed.contains(use.node) ? layer(use) : Optional.empty();
      owners.computeIfAbsent(layer.orElse("use " + i), _ -> new ArrayList<>()).add(use);
    }
    return List.copyOf(owners.values());
  }

  /// What tells the layer apart whose weights or bias the tensor is: which of both, and the layer's weights, which way
  /// round they are, and its bias.
  private Optional<String> layer(Use use) throws FormatException {
    if (content.isTransposed(use.node)) {
      return layer(new Use(content.readers(use.node.outputs().getFirst()).getFirst(), 1));
    }
    boolean isWeight = isWeight(use);
    if (!isWeight && !isBias(use)) {
      return Optional.empty();
    }
    boolean isOwn = isWeight || use.node.operator().equals("Gemm");
    OnnxNode node = isOwn ? use.node : OnnxLayers.maker(content, use.node.inputs().get(1 - use.input)).orElseThrow();
    if (!OnnxLayers.hasMatrix(content, node)) {
      return Optional.empty();
    }
    String bias = node.operator().equals("Gemm") ? input(node, 2) : addedTo(node);
    return Optional.of(String.join("\n", isWeight ? "weight" : "bias", input(node, 1), bias,
        String.valueOf(OnnxLayers.isTransposed(content, node))));
  }

  private boolean isOfLayer(List<Use> of) throws FormatException {
    for (Use use : of) {
      if (needed.contains(use.node) && (isWeight(use) || isBias(use) || isMean(use))) {
        return true;
      }
    }
    return false;
  }

  private boolean isWeight(Use use) throws FormatException {
    if (content.isTransposed(use.node)) {
      List<OnnxNode> readers = content.readers(use.node.outputs().getFirst());
      return !readers.isEmpty() && isWeight(new Use(readers.getFirst(), 1));
    }
    return use.input == 1 && OnnxLayers.OPERATORS.contains(use.node.operator())
        && OnnxLayers.hasMatrix(content, use.node);
  }

  private boolean isBias(Use use) throws FormatException {
    if (use.node.operator().equals("Gemm")) {
      return use.input == 2;
    }
    Optional<OnnxNode> added = use.node.operator().equals("Add") && use.node.inputs().size() == 2
        ? OnnxLayers.maker(content, use.node.inputs().get(1 - use.input))
        : Optional.empty();
    return added.isPresent() && added.get().operator().equals("MatMul") && OnnxLayers.hasMatrix(content, added.get());
  }

  /// Whether it is the mean of a batch normalisation that takes the bias of the layer before it, whose weights no other
  /// node reads.
  private boolean isMean(Use use) throws FormatException {
    Optional<OnnxNode> layer = use.input == OnnxLayers.MEAN
        ? content.maker(OnnxValues.name(use.node, 0))
        : Optional.empty();
    return layer.isPresent() && OnnxLayers.norm(content, layer.get()).equals(Optional.of(use.node))
        && content.uses(content.constant(input(layer.get(), 1)).orElseThrow()) == 1
        && !content.isDefault(use.node.inputs().get(OnnxLayers.MEAN));
  }

  private String input(OnnxNode node, int i) {
    String name = content.untransposed(OnnxValues.name(node, i));
    return content.isConstant(name) ? content.tensorName(name) : "";
  }

  /// The constant that is added to a MatMul.
  private String addedTo(OnnxNode node) {
    List<OnnxNode> behind = OnnxLayers.added(content, node);
    return behind.isEmpty() ? "" : input(behind.getLast(), 0) + input(behind.getLast(), 1);
  }

  private String unused(String name, Map<String, String> copies) {
    int number = 2;
    while (content.isConstant(name + "_" + number) || copies.containsKey(name + "_" + number)
        || content.maker(name + "_" + number).isPresent()) {
      number++;
    }
    return name + "_" + number;
  }

  private MemorySegment rewritten(MemorySegment model, Map<String, Map<Integer, String>> renamed,
      Map<String, String> copies, Arena arena) throws FormatException {
    List<MemorySegment> parts = new ArrayList<>();
    for (Protobuf.Field field : Protobuf.parse(path, model).fields()) {
      if (field.number() != OnnxContent.MODEL_GRAPH) {
        parts.add(field.whole());
        continue;
      }
      List<MemorySegment> graph = new ArrayList<>();
      for (Protobuf.Field part : Protobuf.parse(path, field.bytes()).fields()) {
        if (part.number() == OnnxContent.GRAPH_INPUT) {
          requireNoInput(Protobuf.parse(path, part.bytes()).text(OnnxContent.VALUE_NAME), copies);
        }
        if (part.number() == OnnxContent.GRAPH_NODE) {
          graph.addAll(node(part, renamed));
        } else {
          graph.add(part.whole());
        }
      }
      for (Map.Entry<String, String> copy : copies.entrySet()) {
        graph.addAll(
            Protobuf.field(OnnxContent.GRAPH_INITIALIZER, renamed(content.tensor(copy.getValue()), copy.getKey())));
      }
      parts.addAll(Protobuf.field(OnnxContent.MODEL_GRAPH, graph));
    }
    return Protobuf.joined(parts, arena);
  }

  private void requireNoInput(String name, Map<String, String> copies) throws FormatException {
    if (copies.containsValue(name)) {
      throw new FormatException(path,
          "tensor %s is shared and stands among the inputs; export the model with a newer version"
              .formatted(quote(name)));
    }
  }

  private List<MemorySegment> node(Protobuf.Field part, Map<String, Map<Integer, String>> renamed)
      throws FormatException {
    Protobuf message = Protobuf.parse(path, part.bytes());
    OnnxNode node = OnnxNode.of(path, message);
    Map<Integer, String> names = node.outputs().isEmpty()
        ? Map.of()
        : renamed.getOrDefault(node.outputs().getFirst(), Map.of());
    if (names.isEmpty()) {
      return List.of(part.whole());
    }
    List<MemorySegment> fields = new ArrayList<>();
    int input = 0;
    for (Protobuf.Field field : message.fields()) {
      boolean isRenamed = field.number() == NODE_INPUT && names.containsKey(input);
      fields.addAll(isRenamed ? text(NODE_INPUT, names.get(input)) : List.of(field.whole()));
      input += field.number() == NODE_INPUT ? 1 : 0;
    }
    return Protobuf.field(OnnxContent.GRAPH_NODE, fields);
  }

  private static List<MemorySegment> renamed(Protobuf tensor, String name) {
    List<MemorySegment> fields = new ArrayList<>(text(OnnxContent.TENSOR_NAME, name));
    tensor.fields().stream().filter(field -> field.number() != OnnxContent.TENSOR_NAME)
        .forEach(field -> fields.add(field.whole()));
    return fields;
  }

  private static List<MemorySegment> text(int number, String text) {
    return Protobuf.field(number, List.of(MemorySegment.ofArray(text.getBytes(StandardCharsets.UTF_8))));
  }
}
