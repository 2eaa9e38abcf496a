package dev.espalier.spark;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import org.apache.spark.TaskContext;
import org.apache.spark.util.TaskCompletionListener;

/// A network as it is broadcast: its graph, and its weights and biases in pieces. An executor unpacks it once.
final class NetworkParcel implements Serializable {
  private static final long serialVersionUID = 1;
  private static final int PIECE = 1 << 26;

  /// Those that this process has unpacked last: a refit has two.
  private static final int KEPT = 2;
  private static final Map<String, Unpacked> UNPACKED = new LinkedHashMap<>(KEPT, 0.75f, true) {
    private static final long serialVersionUID = 1;

    @Override
    protected boolean removeEldestEntry(Map.Entry<String, Unpacked> eldest) {
      if (size() <= KEPT) {
        return false;
      }
      eldest.getValue().release();
      return true;
    }
  };

  /// A network in this process, whose memory is freed when neither tasks nor [#UNPACKED] hold it. Its lock is that of
  /// [#UNPACKED].
  private static final class Unpacked {
    private final Arena arena;
    private final DenseNetwork network;
    private int holders = 1;

    Unpacked(Arena arena, DenseNetwork network) {
      this.arena = arena;
      this.network = network;
    }

    void release() {
      if (--holders == 0) {
        arena.close();
      }
    }
  }

  private final String id = UUID.randomUUID().toString();
  private final byte[] graph;
  private final byte[][][] weights;
  private final byte[][][] biases;

  NetworkParcel(DenseNetwork network) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
      out.writeObject(network.graph());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    graph = bytes.toByteArray();
    weights = network.layers().stream().map(layer -> pieces(layer.weights())).toArray(byte[][][]::new);
    biases = network.layers().stream().map(layer -> layer.bias().map(NetworkParcel::pieces).orElse(new byte[0][]))
        .toArray(byte[][][]::new);
  }

  private static byte[][] pieces(MatrixView matrix) {
    MemorySegment all = matrix.segment();
    List<byte[]> pieces = new ArrayList<>();
    for (long first = 0; first < all.byteSize(); first += PIECE) {
      byte[] piece = new byte[(int) Math.min(PIECE, all.byteSize() - first)];
      MemorySegment.ofArray(piece).copyFrom(all.asSlice(first, piece.length));
      pieces.add(piece);
    }
    return pieces.toArray(byte[][]::new);
  }

  /// The network, until the task that asks for it ends.
  DenseNetwork network() {
    TaskContext task = TaskContext.get();
    synchronized (UNPACKED) {
      Unpacked found = UNPACKED.computeIfAbsent(id, _ -> unpack());
      found.holders++;
      task.addTaskCompletionListener((TaskCompletionListener) _ -> {
        synchronized (UNPACKED) {
          found.release();
        }
      });
      return found.network;
    }
  }

  @SuppressWarnings("MustBeClosedChecker") // the last holder closes it
  private Unpacked unpack() {
    Arena arena = Arena.ofShared(); // of the tasks' threads
    try {
      return new Unpacked(arena, unpack(arena));
    } catch (RuntimeException | Error e) {
      arena.close();
      throw e;
    }
  }

  private DenseNetwork unpack(Arena arena) {
    Graph structure;
    try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(graph))) {
      structure = (Graph) in.readObject();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (ClassNotFoundException e) {
      throw new IllegalStateException("the executor has another version of Espalier than the driver", e);
    }
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < weights.length; l++) {
      var node = structure.layers().get(l);
      Optional<MatrixView> bias = biases[l].length == 0
          ? Optional.empty()
          : Optional.of(matrix(biases[l], 1, node.width(), arena));
      layers.add(new DenseLayer(node.name(), matrix(weights[l], node.width(), node.inputWidth(), arena), bias,
          structure.activation(l)));
    }
    return new DenseNetwork(structure, layers);
  }

  private static MatrixView matrix(byte[][] pieces, int rows, int columns, Arena arena) {
    MatrixView matrix = MatrixView.allocate(arena, rows, columns);
    long first = 0;
    for (byte[] piece : pieces) {
      matrix.segment().asSlice(first, piece.length).copyFrom(MemorySegment.ofArray(piece));
      first += piece.length;
    }
    return matrix;
  }
}
