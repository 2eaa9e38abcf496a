package dev.espalier.kernels;

import dev.espalier.kernels.Nonlinearity.Kind;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/// The elementwise steps around a dense layer's matrix products: bias and activation, their derivative, and the squares
/// that make a sensitivity. Limited by memory: per element `forward` moves 12 bytes, `addBias` and `activate` 8,
/// `backward` 8 and a copy's share of 4 to 12.
public final class DenseForwardKernel {
  private static final String FAMILY = "dense_forward";
  private static final int TILE_ROWS = 16;
  /// Kernels by nonlinearity.
  private static final Map<Kind, String> FORWARD = names("dense_forward_");
  private static final Map<Kind, String> BACKWARD = names("dense_backward_");

  private final Gpu gpu;

  private static Map<Kind, String> names(String kernel) {
    Map<Kind, String> names = new EnumMap<>(Kind.class);
    for (Kind kind : Kind.values()) {
      names.put(kind, kernel + new Nonlinearity(kind, 0));
    }
    return names;
  }

  /// Launches on `gpu`.
  public DenseForwardKernel(Gpu gpu) {
    this.gpu = gpu;
  }

  /// z += b and a = φ(z).
  ///
  /// @param preActivation z without the bias, samples × outputs
  /// @param bias b, 1 × outputs
  /// @param activated a, samples × outputs, written
  public void forward(Nonlinearity nonlinearity, DeviceMatrix preActivation, DeviceMatrix bias,
      DeviceMatrix activated) {
    checkBias(preActivation, bias);
    forward(nonlinearity, preActivation, Argument.of(bias), activated,
        ElementwiseTile.of(TILE_ROWS, preActivation, bias, activated));
  }

  /// a = φ(z); z is only read.
  ///
  /// @param preActivation z, bias included, samples × outputs
  /// @param activated a, samples × outputs, written
  public void activate(Nonlinearity nonlinearity, DeviceMatrix preActivation, DeviceMatrix activated) {
    forward(nonlinearity, preActivation, Argument.none(), activated,
        ElementwiseTile.of(TILE_ROWS, preActivation, activated));
  }

  private void forward(Nonlinearity nonlinearity, DeviceMatrix preActivation, Argument bias, DeviceMatrix activated,
      ElementwiseTile tile) {
    checkActivated(preActivation, activated);
    int samples = preActivation.rows();
    int outputs = preActivation.columns();
    launch(tile.name(FORWARD.get(nonlinearity.kind())), tile.grid(samples, outputs),
        List.of(Argument.of(preActivation), bias, Argument.of(activated), Argument.of(nonlinearity.parameter()),
            Argument.of(samples), Argument.of(outputs)),
        List.of("z ", preActivation));
  }

  /// z += b.
  ///
  /// @param preActivation z without the bias, samples × outputs
  /// @param bias b, 1 × outputs
  public void addBias(DeviceMatrix preActivation, DeviceMatrix bias) {
    checkBias(preActivation, bias);
    int samples = preActivation.rows();
    int outputs = preActivation.columns();
    ElementwiseTile tile = ElementwiseTile.of(TILE_ROWS, preActivation, bias);
    launch(tile.name("add_bias"), tile.grid(samples, outputs),
        List.of(Argument.of(preActivation), Argument.of(bias), Argument.of(samples), Argument.of(outputs)),
        List.of("z ", preActivation));
  }

  /// z += b and a = softmax(z) by rows; as [#forward].
  public void softmaxForward(DeviceMatrix preActivation, DeviceMatrix bias, DeviceMatrix activated) {
    checkBias(preActivation, bias);
    softmax(preActivation, Argument.of(bias), activated, false, RowTile.of(preActivation, bias, activated));
  }

  /// z += b and a = ln softmax(z) by rows; as [#forward].
  public void logSoftmaxForward(DeviceMatrix preActivation, DeviceMatrix bias, DeviceMatrix activated) {
    checkBias(preActivation, bias);
    softmax(preActivation, Argument.of(bias), activated, true, RowTile.of(preActivation, bias, activated));
  }

  /// a = softmax(z) by rows; as [#activate].
  public void softmax(DeviceMatrix preActivation, DeviceMatrix activated) {
    softmax(preActivation, Argument.none(), activated, false, RowTile.of(preActivation, activated));
  }

  /// a = ln softmax(z) by rows; as [#activate].
  public void logSoftmax(DeviceMatrix preActivation, DeviceMatrix activated) {
    softmax(preActivation, Argument.none(), activated, true, RowTile.of(preActivation, activated));
  }

  private void softmax(DeviceMatrix preActivation, Argument bias, DeviceMatrix activated, boolean logarithm,
      RowTile tile) {
    checkActivated(preActivation, activated);
    launch(tile.name("softmax_forward"), tile.grid(preActivation.rows()), tile.block(),
        List.of(Argument.of(preActivation), bias, Argument.of(activated), Argument.of(logarithm ? 1 : 0),
            Argument.of(preActivation.rows()), Argument.of(preActivation.columns())),
        List.of("z ", preActivation));
  }

  /// g = u ∘ φ′(z).
  ///
  /// @param preActivation z, samples × outputs
  /// @param upstream u, stacked copies (copies · samples) × outputs
  /// @param gradient g, as `upstream`, written; may be `upstream` itself
  public void backward(Nonlinearity nonlinearity, DeviceMatrix preActivation, DeviceMatrix upstream,
      DeviceMatrix gradient) {
    backward(nonlinearity, preActivation, upstream, gradient, null, 0);
  }

  /// g = u ∘ φ′(z) and, in the same pass, s += scale · Σ over copies of g².
  ///
  /// @param sensitivity s, samples × outputs, added to
  public void backwardAddingSquares(Nonlinearity nonlinearity, DeviceMatrix preActivation, DeviceMatrix upstream,
      DeviceMatrix gradient, DeviceMatrix sensitivity, double scale) {
    Kernels.shape("sensitivity", sensitivity, preActivation.rows(), preActivation.columns());
    backward(nonlinearity, preActivation, upstream, gradient, sensitivity, scale);
  }

  private void backward(Nonlinearity nonlinearity, DeviceMatrix preActivation, DeviceMatrix upstream,
      DeviceMatrix gradient, DeviceMatrix sensitivity, double scale) {
    int samples = preActivation.rows();
    int outputs = preActivation.columns();
    int copies = checkBackward(preActivation, upstream, gradient);
    ElementwiseTile tile = ElementwiseTile.of(TILE_ROWS, preActivation, upstream, gradient,
        sensitivity == null ? gradient : sensitivity);
    launch(tile.name(BACKWARD.get(nonlinearity.kind())), tile.grid(samples, outputs),
        List.of(Argument.of(preActivation), Argument.of(upstream), Argument.of(gradient),
            sensitivity == null ? Argument.none() : Argument.of(sensitivity), Argument.of((float) scale),
            Argument.of(nonlinearity.parameter()), Argument.of(copies), Argument.of(samples), Argument.of(outputs)),
        List.of("z ", preActivation, ", u ", upstream));
  }

  /// g = a ∘ (u − aᵀu) by rows: an upstream gradient through a softmax; as [#backward].
  ///
  /// @param activated a, samples × outputs
  public void softmaxBackward(DeviceMatrix activated, DeviceMatrix upstream, DeviceMatrix gradient) {
    softmaxBackward(SoftmaxForm.JACOBIAN, activated, upstream, gradient, null, 0);
  }

  /// g = u − exp(a) 1ᵀu by rows: an upstream gradient through the logarithm of a softmax; as [#softmaxBackward].
  public void logSoftmaxBackward(DeviceMatrix activated, DeviceMatrix upstream, DeviceMatrix gradient) {
    softmaxBackward(SoftmaxForm.LOGARITHM_TRANSPOSED, activated, upstream, gradient, null, 0);
  }

  /// g = u − 1 exp(a)ᵀu by rows: a tangent through the logarithm of a softmax; as [#softmaxBackward].
  public void logSoftmaxTangent(DeviceMatrix activated, DeviceMatrix upstream, DeviceMatrix gradient) {
    softmaxBackward(SoftmaxForm.LOGARITHM, activated, upstream, gradient, null, 0);
  }

  /// As [#softmaxBackward] and, in the same pass, s += scale · Σ over copies of g².
  ///
  /// @param sensitivity s, samples × outputs, added to
  public void softmaxBackwardAddingSquares(DeviceMatrix activated, DeviceMatrix upstream, DeviceMatrix gradient,
      DeviceMatrix sensitivity, double scale) {
    Kernels.shape("sensitivity", sensitivity, activated.rows(), activated.columns());
    softmaxBackward(SoftmaxForm.JACOBIAN, activated, upstream, gradient, sensitivity, scale);
  }

  /// The matrices that a row is multiplied by, with their numbers in the kernel's enumeration of that name.
  private enum SoftmaxForm {
    JACOBIAN(0), LOGARITHM_TRANSPOSED(1), LOGARITHM(2);

    private final int number;

    SoftmaxForm(int number) {
      this.number = number;
    }
  }

  private void softmaxBackward(SoftmaxForm form, DeviceMatrix activated, DeviceMatrix upstream, DeviceMatrix gradient,
      DeviceMatrix sensitivity, double scale) {
    int copies = checkBackward(activated, upstream, gradient);
    RowTile tile = RowTile.of(activated, upstream, gradient, sensitivity == null ? gradient : sensitivity);
    launch(tile.name("softmax_backward"), tile.grid(activated.rows()), tile.block(),
        List.of(Argument.of(activated), Argument.of(upstream), Argument.of(gradient),
            sensitivity == null ? Argument.none() : Argument.of(sensitivity), Argument.of((float) scale),
            Argument.of(form.number), Argument.of(copies), Argument.of(activated.rows()),
            Argument.of(activated.columns())),
        List.of("a ", activated, ", u ", upstream));
  }

  /// s += scale · Σ over copies of g².
  ///
  /// @param gradient g, stacked copies (copies · samples) × outputs
  /// @param sensitivity s, samples × outputs, added to
  public void addSquares(double scale, DeviceMatrix gradient, DeviceMatrix sensitivity) {
    int samples = sensitivity.rows();
    int outputs = sensitivity.columns();
    int copies = Kernels.copies(gradient, samples);
    Kernels.shape("gradient", gradient, gradient.rows(), outputs);
    Kernels.apart("sensitivity", sensitivity, gradient);
    ElementwiseTile tile = ElementwiseTile.of(TILE_ROWS, gradient, sensitivity);
    launch(
        tile.name("add_squares"), tile.grid(samples, outputs), List.of(Argument.of(gradient), Argument.of(sensitivity),
            Argument.of((float) scale), Argument.of(copies), Argument.of(samples), Argument.of(outputs)),
        List.of("g ", gradient, ", s ", sensitivity));
  }

  private static void checkBias(DeviceMatrix preActivation, DeviceMatrix bias) {
    Kernels.shape("bias", bias, 1, preActivation.columns());
  }

  private static void checkActivated(DeviceMatrix preActivation, DeviceMatrix activated) {
    Kernels.shape("activated", activated, preActivation.rows(), preActivation.columns());
    if (activated.overlaps(preActivation)) {
      throw new IllegalArgumentException("activated overlaps preActivation");
    }
  }

  private static int checkBackward(DeviceMatrix layer, DeviceMatrix upstream, DeviceMatrix gradient) {
    Kernels.shape("upstream", upstream, upstream.rows(), layer.columns());
    Kernels.shape("gradient", gradient, upstream.rows(), upstream.columns());
    Kernels.apart("gradient", gradient, upstream);
    return Kernels.copies(upstream, layer.rows());
  }

  private void launch(String kernel, Dimensions grid, List<Argument> arguments, List<?> shapes) {
    launch(kernel, grid, ElementwiseTile.BLOCK, arguments, shapes);
  }

  private void launch(String kernel, Dimensions grid, Dimensions block, List<Argument> arguments, List<?> shapes) {
    gpu.launch(new Launch(FAMILY, kernel, grid, block, 0, arguments, shapes));
  }
}
