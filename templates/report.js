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

  async function draw(figure) {
    const name = figure.dataset.chart, place = figure.querySelector(".live");
    const spec = JSON.parse(document.getElementById("spec-" + name).textContent);
    figure.classList.add("drawn");
    if (place.clientWidth < 520) {
      for (const legend of spec.legends || []) legend.columns = Math.min(2, Math.max(1, Math.floor((legend.columns || 4) / 2)));
    }
    try {
      if (views.has(name)) views.get(name).finalize();
      views.set(name, await loadproofEmbed(place, spec, {
        mode: "vega", ast: true, actions: false, renderer: "canvas", defaultStyle: false, tooltip: show, config: colours(),
      }));
    } catch (error) {
      figure.classList.remove("drawn");
      console.error(name + ": " + error);
    }
  }

  const all = () => document.querySelectorAll("figure[data-chart]").forEach(draw);
  all();
  dark.addEventListener("change", all);
})();
