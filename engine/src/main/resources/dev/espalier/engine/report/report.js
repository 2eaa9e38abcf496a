(() => {
  "use strict";
  // The charts are drawn from the report's numbers; labels has the same figures as text, in the same order.
  const [report, labels] = ["report", "labels"].map(id => JSON.parse(document.getElementById(id).textContent));
  const layers = report.layers ?? [];
  const NARROW = "\u202f";
  const SYMBOLS = ["circle", "rect", "triangle", "diamond", "roundRect", "pin"];
  const DASHES = ["solid", "dashed", "dotted"];

  const escapeHtml = text => text.replace(/[&<>"']/g, c => "&#" + c.charCodeAt(0) + ";");

  // Ticks are round numbers that the chart library picks, so their text is made here.
  const power = exponent => "10" + String(exponent).replace(/./g, c => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  const tick = x => {
    const [digits, exponent] = Number(x.toPrecision(6)).toExponential().split("e").map(Number);
    return x === 0 || exponent >= -3 && exponent < 5
      ? x.toLocaleString("en", { maximumSignificantDigits: 6 }).replace(/,/g, NARROW)
      : (digits === 1 ? "" : digits + NARROW + "×" + NARROW) + power(exponent);
  };
  const percentTick = x => tick(100 * x) + NARROW + "%";

  // Labels are measured on a canvas, which knows neither "inherit" nor var(--…).
  const fontFamily = getComputedStyle(document.body).fontFamily;
  const text = { color: "var(--muted)", fontFamily, fontSize: 12 };
  // Below the lowest label of the y-axis, which is at the height of the x-axis.
  const xText = { ...text, margin: 12 };
  const valueAxis = {
    type: "value",
    axisLabel: text,
    axisLine: { onZero: false, lineStyle: { color: "var(--line)" } },
    axisTick: { lineStyle: { color: "var(--line)" } },
    splitLine: { lineStyle: { color: "var(--grid)" } },
    minorSplitLine: { show: false },
    nameTextStyle: text,
  };
  const base = {
    animation: false,
    textStyle: { fontFamily },
    tooltip: {
      confine: true,
      backgroundColor: "var(--card)",
      borderColor: "var(--line)",
      textStyle: { color: "var(--ink)", fontSize: 13, fontFamily },
      extraCssText: "box-shadow: 0 2px 10px rgb(0 0 0 / .15)",
      axisPointer: { lineStyle: { color: "var(--muted)", type: "dotted" } },
    },
  };
  const tipRow = (marker, name, figure) =>
    `<div style="display:flex;gap:16px;justify-content:space-between"><span>${marker}${escapeHtml(name)}</span>` +
    `<b>${figure}</b></div>`;

  function sparsityChart(chart, container) {
    const narrow = chart.getWidth() < 520;
    const bar = (name, color, of) => ({
      name, type: "bar", stack: "all", barWidth: 16, color, data: layers.map(of), emphasis: { disabled: true },
    });
    const removed = bar("removed", "var(--removed)", layer => layer.sparsity);
    if (report.model) {
      removed.markLine = {
        silent: true, symbol: "none", animation: false,
        lineStyle: { color: "var(--ink)", type: "dashed", width: 1.2 },
        label: {
          ...text, position: "start", align: report.model.sparsity > .5 ? "right" : "left",
          formatter: "whole network " + container.dataset.overall,
        },
        data: [{ xAxis: report.model.sparsity }],
      };
    }
    return {
      grid: { left: 4, right: 22, top: 24, bottom: 4, containLabel: true },
      tooltip: {
        ...base.tooltip, trigger: "axis", axisPointer: { type: "shadow", z: 0, shadowStyle: { color: "var(--grid)" } },
        formatter: ([{ dataIndex }]) => {
          const { removed, kept, sparsity } = labels.layers[dataIndex];
          return `<b>${escapeHtml(layers[dataIndex].name)}</b>` +
            tipRow("", "removed", removed) + tipRow("", "kept", kept) + tipRow("", "sparsity", sparsity);
        },
      },
      xAxis: { ...valueAxis, min: 0, max: 1, axisLabel: { ...xText, formatter: percentTick } },
      yAxis: {
        type: "category", inverse: true, data: layers.map(layer => layer.name),
        axisLabel: { ...text, color: "var(--ink)", fontSize: 13, width: narrow ? 90 : 220, overflow: "truncate" },
        axisLine: { show: false }, axisTick: { show: false },
      },
      series: [removed, bar("kept", "var(--kept)", layer => 1 - layer.sparsity)],
    };
  }

  // From the first bin that is not empty to the last.
  const filled = ({ logMin, logMax, counts }) => {
    const width = (logMax - logMin) / counts.length;
    const first = counts.findIndex(n => n > 0);
    return first < 0 ? { logMin, logMax }
      : { logMin: logMin + first * width, logMax: logMin + (counts.findLastIndex(n => n > 0) + 1) * width };
  };
  // Whole decades, and how many there are between two ticks.
  const decades = (low, high, ticks) => {
    const max = Math.ceil(high);
    const count = Math.max(1, max - Math.floor(low));
    const step = Math.ceil(count / ticks);
    return { min: max - Math.ceil(count / step) * step, max, step };
  };

  function importanceChart(chart, container) {
    const layer = layers[container.dataset.layer];
    const { logMin: low, logMax: high, counts } = layer.importance;
    const { edges, counts: countLabels } = labels.layers[container.dataset.layer];
    const width = (high - low) / counts.length;
    const range = filled(layer.importance);
    const axis = decades(range.logMin, range.logMax, 6);
    const threshold = layer.threshold === undefined ? -Infinity : Math.log10(layer.threshold);
    // The bin that the threshold cuts is cut in two colours there.
    const colour = left => {
      const cut = (threshold - left) / width;
      if (cut <= 0 || cut >= 1) return cut <= 0 ? "var(--kept)" : "var(--removed)";
      return {
        type: "linear", x: 0, y: 0, x2: 1, y2: 0,
        colorStops: [
          { offset: 0, color: "var(--removed)" }, { offset: cut, color: "var(--removed)" },
          { offset: cut, color: "var(--kept)" }, { offset: 1, color: "var(--kept)" },
        ],
      };
    };
    const series = {
      type: "bar", barWidth: "104%", emphasis: { disabled: true },
      data: counts.map((n, i) => ({
        value: [low + (i + .5) * width, n],
        itemStyle: { color: colour(low + i * width) },
      })),
    };
    if (threshold >= axis.min && threshold <= axis.max) {
      series.markLine = {
        silent: true, symbol: "none", animation: false, label: { show: false },
        lineStyle: { color: "var(--ink)", type: "dashed", width: 1.2 },
        data: [{ xAxis: threshold }],
      };
    }
    return {
      grid: { left: 4, right: 12, top: 12, bottom: 4, containLabel: true },
      tooltip: {
        ...base.tooltip, trigger: "axis",
        formatter: ([{ dataIndex: i }]) =>
          `${edges[i]} … ${edges[i + 1]}` + tipRow("", "weights", countLabels[i]),
      },
      xAxis: {
        ...valueAxis, min: axis.min, max: axis.max, interval: axis.step, splitLine: { show: false },
        axisLabel: { ...xText, formatter: power, hideOverlap: true },
      },
      yAxis: { ...valueAxis, splitNumber: 3, axisLabel: { ...text, formatter: tick } },
      series: [series],
    };
  }

  // The legend wraps; the plot begins below its last row.
  const legendFont = { fontFamily, fontSize: 12.5 };
  const legend = { itemWidth: 26, itemGap: 16 };
  function legendRows(names, width) {
    let rows = 1;
    let used = 0;
    for (const name of names) {
      const item = legend.itemWidth + 5 + echarts.format.getTextRect(name, `12.5px ${fontFamily}`).width;
      if (used > 0 && used + item + 12 > width) {
        rows++;
        used = 0;
      }
      used += item + legend.itemGap;
    }
    return rows;
  }

  function curveChart(chart, container, log) {
    const metric = container.dataset.metric;
    const share = metric === "accuracy";
    const rows = legendRows(report.comparison.map(curve => curve.criterion), chart.getWidth());
    const curves = report.comparison;
    const present = curves.flatMap(curve => curve.points).map(p => p[metric]).filter(v => v !== undefined);
    const positive = present.filter(v => v > 0);
    const dense = { accuracy: report.denseAccuracy, loss: report.denseLoss }[metric];
    log = log && positive.length > 0;
    const sparsities = curves.flatMap(curve => curve.points).map(p => p.sparsity);
    const [from, to] = [Math.min(...sparsities), Math.max(...sparsities)];
    const min = share ? Math.floor(10 * Math.min(...present)) / 10
      : log ? 10 ** Math.floor(Math.log10(Math.min(...positive, ...dense > 0 ? [dense] : []))) : undefined;
    // An invisible line along the upper edge and back along the lower one, filled. It has the curve's name, by which the
    // legend hides both.
    const band = (curve, i) => {
      const edges = curve.points.map((p, j) => ({ x: p.sparsity, ...labels.bands[i][j][metric] }))
        .filter(({ high }) => high > (log ? 0 : -Infinity)).map(e => ({ ...e, low: Math.max(e.low, min ?? e.low) }));
      return edges.length === 0 ? [] : [{
        name: curve.criterion, type: "line", color: `var(--c${i % 8})`, symbol: "none", silent: true, z: 1,
        emphasis: { disabled: true }, lineStyle: { opacity: 0 }, areaStyle: { color: `var(--c${i % 8})`, opacity: .15 },
        data: [...edges.map(e => [e.x, e.high]), ...edges.toReversed().map(e => [e.x, e.low])],
      }];
    };
    return {
      legend: {
        ...legend, data: curves.map(curve => curve.criterion), top: 4, left: 0, itemHeight: 9, inactiveColor: "var(--line)",
        textStyle: { ...legendFont, color: "var(--ink)" },
      },
      grid: { left: 4, right: 22, top: 16 + 28 * rows, bottom: 30, containLabel: true },
      tooltip: {
        ...base.tooltip, trigger: "axis",
        formatter: points => `<b>${points.find(p => p.data.labels).data.labels.sparsity} removed</b>` +
          points.filter(p => p.data.labels).toSorted((a, b) => share ? b.value[1] - a.value[1] : a.value[1] - b.value[1])
            .map(p => tipRow(
              `<i style="display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:7px;background:${p.color}"></i>`,
              p.seriesName, p.data.labels[metric])).join(""),
      },
      xAxis: {
        ...valueAxis, name: "weights removed", nameLocation: "middle", nameGap: 32, splitLine: { show: false },
        min: from, max: to,
        // The ends have labels, and a tick so near that the two would touch has none.
        axisLabel: {
          ...xText, hideOverlap: true, showMaxLabel: true,
          formatter: x => x < to && (to - x) * chart.getWidth() < 55 * (to - from) ? "" : percentTick(x),
        },
      },
      yAxis: {
        ...valueAxis, type: log ? "log" : "value",
        min, max: share ? 1 : undefined,
        axisLabel: { ...text, formatter: share ? percentTick : tick },
      },
      series: [...curves.map((curve, i) => ({
        markLine: {
          silent: true, symbol: "none", animation: false,
          data: [
            ...i > 0 || dense === undefined || log && dense <= 0 ? [] : [{
              yAxis: dense, lineStyle: { color: "var(--muted)", type: "dashed", width: 1.2 },
              label: { ...text, position: share ? "insideEndTop" : "insideEndBottom", formatter: "dense" },
            }],
          ],
        },
        name: curve.criterion, type: "line", color: `var(--c${i % 8})`,
        symbol: SYMBOLS[i % SYMBOLS.length], symbolSize: 7, showAllSymbol: true,
        lineStyle: { width: 2.2, type: DASHES[Math.floor(i / 8) % DASHES.length] },
        emphasis: { disabled: true },
        data: curve.points.map((p, j) => ({ value: [p.sparsity, p[metric]], labels: labels.comparison[i][j] }))
          .filter(({ value: [, y] }) => y !== undefined && !(log && y <= 0)),
      })), ...curves.flatMap(band)], // the legend takes its symbols from the first series of a name
    };
  }

  // A pair of values for each layer, or for each point of the curves that have predictions.
  function agreementChart(chart) {
    const pairs = (name, list, of) => ({ name, points: list.map(of).filter(({ value: [x, y] }) => x > 0 && y > 0) });
    const curves = report.comparison.map((curve, i) => pairs(curve.criterion, curve.points, (p, j) => {
      const { sparsity, predictedChange, outputChange } = labels.comparison[i][j];
      return { value: [p.predictedChange, p.outputChange], texts: [`${curve.criterion}, ${sparsity} removed`, predictedChange, outputChange] };
    })).filter(curve => curve.points.length > 0);
    const sets = curves.length > 0 ? curves : [pairs("layers", layers, (layer, i) => ({
      value: [layer.predictedChange, layer.measuredChange],
      texts: [layer.name, labels.layers[i].predicted, labels.layers[i].measured],
    }))];
    const ofLayers = curves.length === 0;
    const logs = sets.flatMap(set => set.points).flatMap(p => p.value).map(Math.log10);
    const { min, max, step } = decades(Math.min(...logs), Math.max(...logs), 6);
    const rows = ofLayers ? 0 : legendRows(sets.map(set => set.name), chart.getWidth());
    const axis = {
      ...valueAxis, min, max, interval: step, nameLocation: "middle", axisLabel: { ...xText, formatter: power },
    };
    return {
      legend: ofLayers ? undefined : {
        ...legend, top: 4, left: 0, itemHeight: 9, inactiveColor: "var(--line)",
        textStyle: { ...legendFont, color: "var(--ink)" },
      },
      grid: { left: 26, right: 22, top: 16 + 28 * rows, bottom: 30, containLabel: true },
      tooltip: {
        ...base.tooltip, trigger: "item",
        formatter: ({ data: { texts: [name, predicted, measured] } }) =>
          `<b>${escapeHtml(name)}</b>` + tipRow("", "predicted", predicted) + tipRow("", "measured", measured),
      },
      xAxis: { ...axis, name: "predicted", nameGap: 32 },
      yAxis: { ...axis, name: "measured", nameGap: 40, axisLabel: { ...text, formatter: power } },
      series: sets.map((set, i) => ({
        name: set.name, type: "line", color: `var(--c${i % 8})`, emphasis: { disabled: true },
        symbol: SYMBOLS[i % SYMBOLS.length], symbolSize: 8, showAllSymbol: true,
        lineStyle: { width: ofLayers ? 0 : 2.2 },
        label: {
          ...text, show: ofLayers && set.points.length <= 12, position: "right",
          formatter: ({ data }) => data.texts[0], width: 120, overflow: "truncate",
        },
        labelLayout: { hideOverlap: true },
        data: set.points.map(({ value, texts }) => ({ value: value.map(Math.log10), texts })),
        markLine: i > 0 ? undefined : {
          silent: true, symbol: "none", animation: false, label: { show: false },
          lineStyle: { color: "var(--muted)", type: "dashed", width: 1.2 },
          data: [[{ coord: [min, min] }, { coord: [max, max] }]],
        },
      })),
    };
  }

  const draw = { agreement: agreementChart, sparsity: sparsityChart, importance: importanceChart, curve: curveChart };
  const charts = [...document.querySelectorAll("[data-chart]")].map(container => {
    const chart = echarts.init(container, null, { renderer: "svg" });
    const button = container.parentElement.querySelector(".scale");
    const update = () => {
      const log = button?.getAttribute("aria-pressed") === "true";
      chart.setOption({ ...base, ...draw[container.dataset.chart](chart, container, log) }, true);
    };
    button?.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      update();
    });
    update();
    new ResizeObserver(() => {
      chart.resize();
      update();
    }).observe(container);
    return chart;
  });
  // A pixel for each cell, scaled up by the style sheet; the densest cell is opaque.
  for (const canvas of document.querySelectorAll("canvas[data-density]")) {
    const { rows, columns, kept } = layers[canvas.dataset.layer][canvas.dataset.density];
    Object.assign(canvas, { width: columns, height: rows });
    const context = canvas.getContext("2d");
    const most = Math.max(...kept, Number.MIN_VALUE);
    context.fillStyle = getComputedStyle(canvas).color;
    kept.forEach((fraction, i) => {
      context.globalAlpha = Math.sqrt(fraction / most);
      context.fillRect(i % columns, Math.floor(i / columns), 1, 1);
    });
  }
  window.addEventListener("beforeprint", () => charts.forEach(chart => chart.resize()));
})();
