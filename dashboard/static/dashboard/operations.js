// The operations pages: charts of durations, and what happens when HTMX refreshes a part.
"use strict";
(() => {
  const ANNOUNCE_MS = 10000; // a screen reader is told at most this often
  let announced = "", announcedAt = 0, waiting = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const SIZES = [1, 60, 3600]; // seconds of the units: second, minute, hour

  function text(seconds, units) {
    const unit = seconds < 60 ? 0 : seconds < 3600 ? 1 : 2;
    return `${Math.round((seconds / SIZES[unit]) * 10) / 10} ${units[unit]}`;
  }

  function draw(element) {
    const data = JSON.parse(document.getElementById(element.dataset.chart).textContent);
    const chart = window.echarts.getInstanceByDom(element) || window.echarts.init(element);
    const muted = colour("--muted"), line = colour("--line");
    const totals = data.labels.map((_, index) => data.series.reduce((sum, series) => sum + series.values[index], 0));
    const most = Math.max(0, ...totals), unit = most < 120 ? 0 : most < 7200 ? 1 : 2; // so that the axis has round numbers
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    chart.setOption({
      animation: !still,
      color: [colour("--chart-1"), colour("--chart-2"), colour("--chart-3")],
      grid: { left: 8, right: 8, top: 36, bottom: 8, containLabel: true },
      legend: { top: 0, left: 0, textStyle: { color: colour("--text") } },
      tooltip: {
        trigger: "axis", renderMode: "richText", backgroundColor: colour("--raised"), borderColor: line, textStyle: { color: colour("--text") },
        formatter: (bars) => {
          const index = bars[0].dataIndex;
          const lines = data.series.map((series) => `${series.name}: ${text(series.values[index], data.units)}`);
          return [data.labels[index], ...lines, `${data.total}: ${text(totals[index], data.units)}`].join("\n");
        },
      },
      xAxis: { type: "category", data: data.labels, axisLabel: { color: muted }, axisLine: { lineStyle: { color: line } }, axisTick: { show: false } },
      yAxis: { type: "value", axisLabel: { color: muted, formatter: `{value} ${data.units[unit]}` }, splitLine: { lineStyle: { color: line } } },
      series: data.series.map((series) => ({ name: series.name, type: "bar", stack: "total", barMaxWidth: 28, cursor: "pointer", data: series.values.map((seconds) => seconds / SIZES[unit]) })),
    }, true);
    chart.off("click");
    chart.on("click", (bar) => window.location.assign(data.links[bar.dataIndex]));
  }

  function drawAll() {
    for (const element of document.querySelectorAll(".chart.durations")) draw(element);
  }

  function announce(message) {
    const region = document.getElementById("announcer");
    if (!region || !message || message === announced) return;
    clearTimeout(waiting);
    const wait = announcedAt + ANNOUNCE_MS - Date.now();
    if (wait > 0) {
      waiting = setTimeout(() => announce(message), wait);
      return;
    }
    announced = message;
    announcedAt = Date.now();
    region.textContent = message;
  }

  function noted() {
    const part = document.querySelector("[data-announcement]");
    return part ? part.dataset.announcement : "";
  }

  document.addEventListener("DOMContentLoaded", () => {
    announced = noted(); // what the page says at first is read with the page
    drawAll();
  });
  // A refresh would close a question that somebody is about to answer, or a traceback that somebody reads.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.matches("[data-announcement], [data-polled]") && event.detail.elt.querySelector("details[open]")) event.preventDefault();
  });
  document.addEventListener("htmx:afterSettle", () => {
    drawAll();
    if (announced === "") announced = noted();
    else announce(noted());
  });
  window.addEventListener("resize", () => {
    for (const element of document.querySelectorAll(".chart.durations")) window.echarts.getInstanceByDom(element)?.resize();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  new MutationObserver(drawAll).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
})();
