"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const printing = location.hash === "#print";
  const PAPER = 680; // CSS pixels between the margins of A4
  const LOW = 0.75; // of its height on the screen a chart has on paper, where three then fit on a page
  const HOLD_MS = 5000; // the load event waits no longer for the charts
  const PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
  const fine = matchMedia("(pointer: fine)").matches;
  root.classList.add("js");

  let chosen = null; // what the reader clicked; null follows the system
  const isDark = () => (printing ? false : chosen ?? dark.matches);
  const setTheme = () => { root.dataset.theme = isDark() ? "dark" : "light"; };
  setTheme();

  // A CSS variable as a colour that Plotly understands, by way of the browser.
  const colourOf = (text) => {
    const name = /^var\((--[\w-]+)\)$/.exec(text);
    return name ? getComputedStyle(root).getPropertyValue(name[1]).trim() || text : text;
  };
  const coloured = (value, isColour) => {
    if (typeof value === "string") return isColour ? colourOf(value) : value;
    if (Array.isArray(value)) return value.map((item) => coloured(item, isColour));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, coloured(item, /color/.test(key))]));
  };

  const axis = (given) => ({
    gridcolor: "var(--grid)", linecolor: "var(--line)", zerolinecolor: "var(--line)", automargin: true,
    ...given, title: { standoff: 8, font: { size: 13 }, ...(given?.title ?? {}) },
  });
  const layoutOf = (given, width) => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: "var(--ink)" },
    margin: { l: 48, r: 16, t: 8, b: 44 },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    hoverlabel: { bgcolor: "var(--card)", bordercolor: "var(--line)", font: { color: "var(--ink)" } },
    dragmode: fine ? "zoom" : false,
    ...given, xaxis: axis(given.xaxis), yaxis: axis(given.yaxis),
    ...(width ? { width, autosize: false } : { autosize: true }),
  });

  let figures = {};
  const drawn = new Set();
  const draw = (box, width) => {
    const { data, layout } = figures[box.id];
    const height = Math.round((box.clientHeight || 340) * (width ? LOW : 1));
    const shown = coloured({ data, layout: layoutOf({ ...layout, height }, width) }, false);
    window.Plotly.react(box, shown.data, shown.layout,
      { displayModeBar: false, responsive: true, staticPlot: printing, scrollZoom: false });
    drawn.add(box);
  };
  const redraw = () => drawn.forEach((box) => draw(box));

  const loadPlotly = async () => {
    const packed = atob(document.getElementById("plotly").textContent.trim());
    const bytes = new Uint8Array(packed.length);
    for (let i = 0; i < packed.length; i += 1) bytes[i] = packed.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  };

  // A headless browser takes its picture at the load event, which therefore must not come before the charts in
  // view. It waits for every image, so until they are drawn each image that was loaded starts another.
  let held = true;
  const hold = () => {
    if (!held || document.hidden || performance.now() > HOLD_MS) return;
    const image = new Image();
    image.onload = hold;
    image.src = PIXEL;
  };
  const ready = () => {
    held = false;
    root.dataset.ready ??= Math.round(performance.now()); // milliseconds from opening the page
  };

  const whenIdle = window.requestIdleCallback
    ? (work) => { requestIdleCallback(work, { timeout: 500 }); } : (work) => { setTimeout(work, 30); };
  // One chart each time the page has nothing else to do: it stays quick to scroll and to click.
  const drawRest = (boxes) => {
    const next = boxes.find((box) => !drawn.has(box));
    if (!next) return;
    draw(next);
    whenIdle(() => drawRest(boxes));
  };

  const drawFigures = async () => {
    figures = JSON.parse(document.getElementById("figures").textContent);
    const boxes = [...document.querySelectorAll(".plot")];
    if (boxes.length && typeof DecompressionStream === "undefined") {
      boxes.forEach((box) => { box.textContent = "This browser is too old to draw the chart."; });
    }
    if (!boxes.length || typeof DecompressionStream === "undefined") {
      ready();
      return;
    }
    await loadPlotly();
    if (printing) {
      boxes.forEach((box) => draw(box, PAPER));
      ready();
      return;
    }
    const seen = new IntersectionObserver((entries) => {
      entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
        seen.unobserve(target);
        if (!drawn.has(target)) draw(target);
      });
      if (root.dataset.ready === undefined) whenIdle(() => drawRest(boxes));
      ready();
    }, { rootMargin: "300px" });
    boxes.forEach((box) => seen.observe(box));
    addEventListener("beforeprint", () => {
      root.dataset.theme = "light";
      openDetails();
      boxes.forEach((box) => draw(box, PAPER));
    });
    addEventListener("afterprint", () => { closeDetails(); setTheme(); redraw(); });
  };

  // On paper nothing can be unfolded; what was folded is so again afterwards.
  let unfolded = [];
  const openDetails = () => {
    unfolded = [...document.querySelectorAll("details:not([open])")];
    unfolded.forEach((part) => { part.open = true; });
  };
  const closeDetails = () => unfolded.forEach((part) => { part.open = false; });

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => { button.textContent = isDark() ? "Light" : "Dark"; };
    button.hidden = printing;
    label();
    const change = () => { setTheme(); label(); redraw(); };
    button.addEventListener("click", () => { chosen = !isDark(); change(); });
    dark.addEventListener("change", () => { if (chosen === null) change(); });
    if (printing) openDetails();
    hold();
    // After the first paint: words and tables are read first.
    const start = () => drawFigures().catch((error) => { held = false; throw error; });
    if (printing) start(); else requestAnimationFrame(() => setTimeout(start));
  });
})();
