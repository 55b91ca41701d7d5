"use strict";
// Draws each figure over its picture. Whatever fails here leaves the picture that is there already.
(function () {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const tip = document.getElementById("tip");
  const views = new Map();

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim(), soft = style.getPropertyValue("--soft").trim();
    const line = style.getPropertyValue("--line").trim();
    return {
      axis: { labelColor: soft, titleColor: soft, gridColor: soft, domainColor: line, tickColor: line },
      legend: { labelColor: ink, layout: { top: { direction: "vertical", anchor: "start", margin: 4 } } },
    };
  }

  // the library's own box brings styles along, which the page's policy rightly refuses
  function show(handler, event, item, value) {
    if (value === null || value === undefined || value === "") {
      tip.hidden = true;
      return;
    }
    tip.replaceChildren();
    for (const [name, text] of typeof value === "object" ? Object.entries(value) : [["", value]]) {
      const row = document.createElement("p"), label = document.createElement("span");
      label.textContent = name;
      row.append(label, String(text));
      tip.append(row);
    }
    tip.hidden = false;
    const left = event.clientX + 16 + tip.offsetWidth > innerWidth ? event.clientX - tip.offsetWidth - 12 : event.clientX + 16;
    tip.style.left = Math.max(4, left) + "px";
    tip.style.top = Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 4) + "px";
  }

  // data stand in the page as columns, texts as numbers of a list: that takes a third of the room
  function rows(columns) {
    const names = Object.keys(columns);
    const all = names.map((name) => {
      const one = columns[name];
      return Array.isArray(one) ? one : one.at.map((index) => one.texts[index]);
    });
    return all[0].map((_, at) => Object.fromEntries(names.map((name, index) => [name, all[index][at]])));
  }

  async function draw(figure) {
    const name = figure.dataset.chart, place = figure.querySelector(".live");
    const spec = JSON.parse(document.getElementById("spec-" + name).textContent);
    for (const data of spec.data || []) {
      if (!data.columns) continue;
      data.values = rows(data.columns);
      delete data.columns;
    }
    figure.classList.add("drawn");
    if (place.clientWidth < 520) {
      for (const legend of spec.legends || []) legend.columns = Math.min(2, Math.max(1, Math.floor((legend.columns || 4) / 2)));
    }
    try {
      if (views.has(name)) views.get(name).finalize();
      views.set(name, await loadproofEmbed(place, spec, {
        mode: "vega", ast: true, actions: false, renderer: "canvas", defaultStyle: false, tooltip: show, config: colours(),
      }));
      reach(figure, spec, views.get(name).view);
    } catch (error) {
      figure.classList.remove("drawn");
      console.error(name + ": " + error);
    }
  }

  // what the wheel and dragging do, with the keyboard: the signal of the zoom holds both ends of the axis
  function reach(figure, spec, view) {
    const signals = (spec.signals || []).map((one) => one.name);
    const signal = signals.find((one) => /^zoom_(?!x$|y$|tuple|translate_|zoom_|modify$)/.test(one));
    if (!signal) return;
    const place = figure.querySelector(".live");
    place.tabIndex = 0;
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", figure.querySelector("img").alt);
    place.onkeydown = (event) => {
      const steps = { "+": [0.25, -0.25], "=": [0.25, -0.25], "-": [-0.5, 0.5], ArrowLeft: [-0.2, -0.2], ArrowRight: [0.2, 0.2] };
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in steps || event.key === "0")) return;
      event.preventDefault();
      view.signal(signal, event.key === "0" ? null : moved(view.scale("x"), steps[event.key])).runAsync();
    };
  }

  function moved(scale, [left, right]) {
    const log = scale.type === "log", [low, high] = scale.domain().map((one) => (log ? Math.log(one) : +one));
    const ends = [low + left * (high - low), high + right * (high - low)];
    return log ? ends.map(Math.exp) : ends;
  }

  // first what can be seen; the others one by one, so that the page answers from its beginning on
  const figures = Array.from(document.querySelectorAll("figure[data-chart]"));
  const seen = (figure) => {
    const box = figure.getBoundingClientRect();
    return box.bottom > -innerHeight && box.top < 2 * innerHeight;
  };
  let turn = 0;

  async function all() {
    const mine = ++turn, left = new Set(figures);
    while (left.size && mine === turn) {
      const next = Array.from(left).find(seen) || left.values().next().value;
      left.delete(next);
      await draw(next);
      await new Promise((done) => setTimeout(done, 0));
    }
  }

  // the pictures stand there already: the page is open before the first of them is drawn over
  if (document.readyState === "complete") all();
  else addEventListener("load", () => setTimeout(all, 0));
  dark.addEventListener("change", all);
})();
