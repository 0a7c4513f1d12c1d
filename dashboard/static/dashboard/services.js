// Draws the charts of metrics with ECharts, from the data that the page has beside each chart. A click on a period opens its facts.
"use strict";
(() => {
  const words = JSON.parse(document.getElementById("chart-words").textContent);
  const language = document.documentElement.lang || "en";
  const format = (value, digits) => new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  const SECONDS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  // The unit in which a chart is drawn: per cent, a day, or for durations days, hours or minutes.
  const scaleOf = (chart) => {
    if (chart.unit === "share") return { size: 0.01, name: "%" };
    if (chart.unit !== "seconds") return { size: 1, name: words.per_day };
    const most = Math.max(0, ...chart.series.flatMap((series) => series.values.filter((value) => value !== null)));
    const [size, word] = SECONDS.find(([seconds]) => most >= 2 * seconds) || SECONDS[3];
    return { size, name: words[word] };
  };
  const text = (value, scale) => (value === null || value === undefined ? words.unknown : `${format(value, value < 10 ? 2 : 1)} ${scale.name}`.trim());

  const niceCeiling = (value) => {
    if (!(value > 0)) return 1;
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 1.02) || 10 * power;
  };

  // The tiers' bands behind the line, as far as the axis reaches.
  const bandsOf = (bands, scale, top, yAxisIndex, position) => ({
    name: "bands", type: "line", data: [], silent: true, yAxisIndex, tooltip: { show: false },
    markArea: {
      silent: true,
      label: { position, color: colour("muted"), fontSize: 11 },
      data: bands.filter((band) => band.from / scale.size < top).map((band) => [
        // A band too low for its name is drawn without it; the colours and bounds are explained on the page of definitions.
        { yAxis: band.from / scale.size, name: (Math.min(top, (band.to ?? Infinity) / scale.size) - band.from / scale.size) / top > 0.09 ? band.name : "", itemStyle: { color: colour(`band-${band.tier}`) } },
        { yAxis: band.to === null ? top : Math.min(top, band.to / scale.size) },
      ]),
    },
  });

  const lineOf = (series, index, chart, scale) => {
    const paint = colour(`chart-${(index % 6) + 1}`);
    return {
      name: series.name, type: "line", connectNulls: false, showAllSymbol: true,
      lineStyle: { color: paint, width: series.kind === "thin" ? 1.3 : 2.4, type: series.kind === "thin" ? "dashed" : "solid", opacity: series.kind === "thin" ? 0.75 : 1 },
      itemStyle: { color: paint },
      symbol: series.kind === "thin" ? "none" : ["circle", "rect", "triangle", "diamond", "pin", "arrow"][index % 6],
      // A partial period is drawn with a hollow point.
      data: series.values.map((value, at) => ({
        value: value === null ? null : value / scale.size, symbolSize: 7,
        itemStyle: chart.partial[at] ? { color: colour("surface"), borderColor: paint, borderWidth: 2 } : undefined,
      })),
    };
  };

  const barOf = (series, index, chart, scale) => {
    const paint = colour(`chart-${(index % 6) + 1}`);
    return {
      name: series.name, type: "bar", stack: series.kind === "stack" ? "all" : undefined, barMaxWidth: 26, itemStyle: { color: paint },
      data: series.values.map((value, at) => ({
        value: value === null ? null : value / scale.size,
        itemStyle: chart.partial[at] ? { color: paint, opacity: 0.45, borderColor: paint, borderWidth: 1.5, borderType: "dashed" } : undefined,
      })),
    };
  };

  const missingOf = (chart) => ({
    name: "missing", type: "bar", data: [], silent: true, tooltip: { show: false },
    markArea: {
      silent: true, itemStyle: { color: colour("idle-soft"), opacity: 0.9 }, label: { color: colour("muted"), fontSize: 11, position: "inside" },
      data: runsOf(chart.missing).map(([first, last]) => [{ xAxis: first - 0.5, name: words.missing }, { xAxis: last + 0.5 }].map((end, at) => (
        { ...end, xAxis: chart.labels[at === 0 ? first : last] }))),
    },
  });
  const runsOf = (flags) => {
    const runs = [];
    flags.forEach((flag, at) => {
      if (!flag) return;
      const last = runs[runs.length - 1];
      if (last && last[1] === at - 1) last[1] = at; else runs.push([at, at]);
    });
    return runs;
  };

  const marksOf = (mark, chart) => ({
    name: mark.name, type: "scatter", symbol: mark.kind === "incidents" ? "triangle" : "diamond", symbolSize: 10, z: 5,
    symbolOffset: mark.kind === "incidents" ? [-5, 0] : [5, 0],
    itemStyle: { color: mark.kind === "incidents" ? colour("bad") : colour("warn") },
    data: mark.counts.map((count) => (count ? { value: 0, count } : null)),
  });

  // The height of a legend: its names are broken into as many rows as they need.
  const legendHeight = (names, width) => {
    const rows = names.reduce(({ count, used }, name) => {
      const needed = 48 + name.length * 7.5;
      return used && used + needed > width ? { count: count + 1, used: needed } : { count, used: used + needed };
    }, { count: 1, used: 0 });
    return rows.count * 24;
  };

  const optionsOf = (chart, width) => {
    const scale = scaleOf(chart);
    const isStacked = chart.series.some((series) => series.kind === "stack");
    const sums = chart.labels.map((_label, at) => chart.series.reduce((sum, series) => sum + (isStacked ? series.values[at] || 0 : 0), 0));
    const most = Math.max(0, ...sums, ...chart.series.flatMap((series) => series.values.map((value) => value || 0))) / scale.size;
    const top = chart.unit === "share" ? Math.min(100, niceCeiling(Math.max(most, 20))) : niceCeiling(most);
    const axis = { axisLabel: { color: colour("muted") }, axisLine: { lineStyle: { color: colour("line-strong") } }, splitLine: { lineStyle: { color: colour("line") } } };
    const series = [
      ...(chart.bands.length ? [bandsOf(chart.bands, scale, top, 0, "right")] : []),
      ...(chart.deploy_day_bands.length ? [bandsOf(chart.deploy_day_bands, { size: 1 }, 7, 1, "insideTopLeft")] : []),
      ...(chart.missing.some(Boolean) ? [missingOf(chart)] : []),
      ...chart.series.map((each, index) => (each.kind === "bar" || each.kind === "stack" ? barOf : lineOf)(each, index, chart, scale)),
      ...(chart.deploy_days ? [{
        name: words.deploy_days, type: "line", yAxisIndex: 1, symbolSize: 6, lineStyle: { color: colour("chart-2"), width: 2 },
        itemStyle: { color: colour("chart-2") }, data: chart.deploy_days,
      }] : []),
      ...chart.marks.filter((mark) => mark.counts.some(Boolean)).map((mark) => marksOf(mark, chart)),
    ];
    const names = series.filter((each) => !["bands", "missing"].includes(each.name)).map((each) => each.name);
    const right = chart.deploy_days ? 8 : chart.bands.length ? 58 : 16;
    return {
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      aria: { enabled: true },
      grid: { left: 8, right, top: 36, bottom: 24 + legendHeight(names, width), containLabel: true },
      legend: {
        bottom: 0, left: "center", textStyle: { color: colour("text") }, data: names,
      },
      tooltip: {
        trigger: "axis", renderMode: "richText", confine: true, axisPointer: { type: "shadow", shadowStyle: { color: colour("line"), opacity: 0.35 } },
        backgroundColor: colour("raised"), borderColor: colour("line-strong"), textStyle: { color: colour("text"), fontSize: 12 },
        formatter: (points) => {
          const at = points[0].dataIndex;
          const notes = [chart.partial[at] && words.partial, chart.missing[at] && words.missing].filter(Boolean);
          return [
            `${chart.labels[at]}${notes.length ? ` (${notes.join(", ")})` : ""}`,
            ...chart.series.map((each) => `${each.name}: ${text(each.values[at] === null ? null : each.values[at] / scale.size, scale)}`),
            ...(chart.deploy_days ? [`${words.deploy_days}: ${text(chart.deploy_days[at], { name: "" })}`] : []),
            ...chart.marks.filter((mark) => mark.counts[at]).map((mark) => `${mark.name}: ${mark.counts[at]}`),
          ].join("\n");
        },
      },
      xAxis: { type: "category", data: chart.labels, ...axis, splitLine: { show: false } },
      yAxis: [
        { type: "value", min: 0, max: top, name: scale.name, nameTextStyle: { color: colour("muted"), align: "left" }, ...axis, axisLabel: { ...axis.axisLabel, formatter: (value) => format(value, 2) } },
        ...(chart.deploy_days ? [{ type: "value", min: 0, max: 7, interval: 1, name: words.deploy_days, nameTextStyle: { color: colour("muted"), align: "right" }, ...axis, splitLine: { show: false } }] : []),
      ],
      series,
    };
  };

  const drawn = [];
  document.querySelectorAll("[data-chart]").forEach((element) => {
    const chart = JSON.parse(document.getElementById(element.dataset.chart).textContent);
    const instance = echarts.init(element, null, { renderer: "canvas" });
    const draw = () => instance.setOption(optionsOf(chart, element.clientWidth), true);
    draw();
    if (chart.links.length) {
      element.title = words.hint;
      instance.getZr().on("click", (event) => {
        const point = [event.offsetX, event.offsetY];
        if (!instance.containPixel({ gridIndex: 0 }, point)) return;
        const at = instance.convertFromPixel({ xAxisIndex: 0, yAxisIndex: 0 }, point)[0];
        if (chart.links[at]) location.assign(chart.links[at]);
      });
    }
    drawn.push({ instance, draw });
  });
  const redraw = () => drawn.forEach(({ draw }) => draw());
  document.addEventListener("themechange", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", () => drawn.forEach(({ instance, draw }) => { instance.resize(); draw(); }));
})();
