package dev.espalier.bindings;

import static dev.espalier.bindings.OneDnn.created;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_DIFF_DST;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_DIFF_SRC;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_DST;
import static dev.espalier.bindings.onednn.onednn_h.DNNL_ARG_SRC;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_eltwise_backward_primitive_desc_create;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_eltwise_elu;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_eltwise_forward_primitive_desc_create;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_eltwise_gelu_erf;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_eltwise_logistic;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_eltwise_relu;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_eltwise_soft_relu;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_eltwise_swish;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_eltwise_tanh;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_forward_training;

import java.lang.foreign.MemorySegment;
import java.util.List;

/// A function of one float32 number and its derivative, on blocks of a fixed number of elements. Many threads may use
/// one at a time.
public final class OneDnnEltwise implements AutoCloseable {
  /// A function φ; `alpha` is its parameter where it has one.
  public enum Function {
    /// z for z > 0, else alpha · z
    RELU,
    /// z for z > 0, else alpha · (eᶻ − 1)
    ELU,
    /// z Φ(z), by erf
    GELU,
    /// z / (1 + e⁻ᵃᶻ) with a = alpha
    SWISH,
    /// ln(1 + eᵃᶻ) / a with a = alpha
    SOFTPLUS,
    /// tanh z
    TANH,
    /// 1 / (1 + e⁻ᶻ)
    LOGISTIC;

    private int algorithm() {
      return switch (this) {
        case RELU -> dnnl_eltwise_relu();
        case ELU -> dnnl_eltwise_elu();
        case GELU -> dnnl_eltwise_gelu_erf();
        case SWISH -> dnnl_eltwise_swish();
        case SOFTPLUS -> dnnl_eltwise_soft_relu();
        case TANH -> dnnl_eltwise_tanh();
        case LOGISTIC -> dnnl_eltwise_logistic();
      };
    }
  }

  private final Primitive forward;
  private final Primitive backward;

  /// @param elements how many one call takes
  public OneDnnEltwise(Function function, float alpha, long elements) {
    MemorySegment data = vector(elements);
    MemorySegment hint = created("dnnl_eltwise_forward_primitive_desc_create",
        out -> dnnl_eltwise_forward_primitive_desc_create(out, OneDnn.engine(), dnnl_forward_training(),
            function.algorithm(), data, data, alpha, 0, MemorySegment.NULL));
    MemorySegment gradient = vector(elements);
    MemorySegment reverse = created("dnnl_eltwise_backward_primitive_desc_create",
        out -> dnnl_eltwise_backward_primitive_desc_create(out, OneDnn.engine(), function.algorithm(),
            gradient, gradient,
            gradient, alpha, 0, hint, MemorySegment.NULL));
    forward = new Primitive(List.of(new Primitive.Argument(DNNL_ARG_SRC(), data),
        new Primitive.Argument(DNNL_ARG_DST(), vector(elements))), hint);
    backward = new Primitive(List.of(new Primitive.Argument(DNNL_ARG_SRC(), gradient),
        new Primitive.Argument(DNNL_ARG_DIFF_DST(), vector(elements)),
        new Primitive.Argument(DNNL_ARG_DIFF_SRC(), vector(elements))), reverse);
  }

  private static MemorySegment vector(long elements) {
    return Primitive.descriptor(new long[]{elements}, new long[]{1});
  }

  /// a = φ(z); may be z itself.
  public void forward(MemorySegment z, MemorySegment a) {
    forward.execute(z, a);
  }

  /// g = u ∘ φ′(z); may be u itself.
  public void backward(MemorySegment z, MemorySegment u, MemorySegment g) {
    backward.execute(z, u, g);
  }

  @Override
  public void close() {
    backward.close();
    forward.close();
  }
}
