package dev.espalier.cli;

import dev.espalier.engine.EspalierException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.device.Hardware;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/// `espalier doctor`.
@Command(name = "doctor", sortOptions = false)
final class DoctorCommand implements Callable<Integer> {
  private static final String AUTO = "what --device auto picks";

  @Mixin
  private GlobalOptions global;

  @Override
  public Integer call() {
    Table machine = new Table(2, "espalier", Espalier.version());
    machine.row("java", Machine.java());
    machine.row("system", Machine.system());
    machine.row("cpu", Machine.cpu());
    machine.row("bfloat16", Machine.bfloat16());
    machine.row("vector api", Machine.vectorApi());
    machine.row("memory", Machine.memory());
    Hardware.Answer<List<Hardware.Gpu>> gpus = Hardware.gpus();
    List<Hardware.Gpu> found = gpus.value().orElse(List.of());
    for (int i = 0; i < found.size(); i++) {
      String name = found.size() == 1 ? "gpu" : "gpu " + i;
      machine.row(name, found.get(i).description());
      found.get(i).now().ifPresent(now -> machine.row(name + " now", Machine.gpuNow(now)));
    }
    if (found.isEmpty()) {
      machine.row("gpu", "none: " + gpus.problem());
    }
    Hardware.Answer<String> cublas = Hardware.cublas();
    machine.row("cublas", cublas.value().orElse(cublas.problem()).replaceFirst("^cuBLAS:? ", ""));
    machine.lines().forEach(global.out()::println);
    global.out().println();
    Table devices = new Table(3, "device", "usable", "");
    boolean cuda = row(devices, Device.CUDA, AUTO);
    if (found.size() > 1) {
      row(devices, Device.ALL_GPUS, "passes over samples are divided among them");
    }
    boolean cpu = row(devices, Device.CPU, cuda ? "for machines without a GPU" : AUTO);
    row(devices, Device.REFERENCE, cuda || cpu ? "to check the others" : AUTO);
    devices.lines().forEach(global.out()::println);
    return 0;
  }

  /// @return whether the device can be used
  private static boolean row(Table devices, Device device, String remark) {
    try (Backend backend = device.open()) {
      devices.row(device.toString(), "yes", backend.description() + "; " + remark);
      return true;
    } catch (EspalierException e) {
      devices.row(device.toString(), "no", e.getMessage());
      return false;
    }
  }
}
