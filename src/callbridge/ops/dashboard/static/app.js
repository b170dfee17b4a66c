// The console's own script: live figures, charts, keyboard, dialogs, and the viewer's zone. Pages read well without it.
// What comes from the server is parsed into an inert document and adopted node by node; outside text stays text.
"use strict";

(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const one = (selector, root = document) => root.querySelector(selector);
  const lang = document.documentElement.lang;

  // --- zone: told once, the server writes all times in it
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const told = document.cookie.split("; ").find((part) => part.startsWith("cb_zone="));
  if (!told || decodeURIComponent(told.slice(8)) !== zone) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `cb_zone=${encodeURIComponent(zone)}; Path=/; Max-Age=31536000; SameSite=Strict${secure}`;
    if (location.pathname === "/" && document.body.dataset.live && document.cookie.includes("cb_zone=")) location.reload();
  }

  // --- relative times go on by themselves
  const relative = new Intl.RelativeTimeFormat(lang, { numeric: "auto", style: lang === "ru" ? "short" : "narrow" });
  const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const ago = (at) => {
    const seconds = Math.round((at - Date.now()) / 1000);
    const [unit, size] = STEPS.find(([, each]) => Math.abs(seconds) >= each * 2) || STEPS[3];
    return relative.format(Math.round(seconds / size), unit);
  };
  const tellAges = () => all("time[data-ago]").forEach((element) => {
    const text = ago(Date.parse(element.dateTime));
    if (element.textContent !== text) element.textContent = text;
  });

  // --- charts: data is the value of an element beside the place; a table beneath says the same
  const charts = new Map();
  const colour = (name) => {
    const probe = document.createElement("i");
    probe.className = name;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const draw = (place) => {
    const block = document.getElementById(place.dataset.chart);
    if (!block || !window.uPlot) return;
    const { at, series } = JSON.parse(block.value);
    const data = [at, ...series.map((each) => each.values)];
    const known = charts.get(place);
    if (known && known.root.isConnected && known.series.length === data.length) {
      known.setData(data);
      return;
    }
    if (known) known.destroy();
    const quiet = colour("ink-quiet");
    const axis = { stroke: quiet, grid: { stroke: colour("ink-line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const whole = (_, splits) => splits.map((value) => (Number.isInteger(value) ? value.toLocaleString(lang) : ""));
    const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    const chart = new uPlot({
      width: place.clientWidth || 600,
      height: Number(place.dataset.height) || 190,
      cursor: { points: { size: 6 }, y: false },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, Math.max(4, high * 1.1)] } },
      axes: [
        { ...axis, size: 28, values: (_, splits) => splits.map((value) => new Date(value * 1000).toLocaleTimeString(lang, time)) },
        { ...axis, values: whole, size: 46 },
      ],
      series: [
        { label: place.dataset.time, value: (_, value) => (value === null ? "" : new Date(value * 1000).toLocaleTimeString(lang, time)) },
        ...series.map((each) => ({
          label: each.label,
          stroke: colour(each.tone),
          width: 2,
          dash: each.dash,
          points: { show: false },
          value: (_, value) => (value === null ? "" : value.toLocaleString(lang)),
        })),
      ],
    }, data, place);
    charts.set(place, chart);
  };
  const drawAll = () => all("[data-chart]").forEach(draw);
  const redrawAll = () => { charts.forEach((chart) => chart.destroy()); charts.clear(); drawAll(); };
  let resizing = 0;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => charts.forEach((chart, place) => chart.setSize({ width: place.clientWidth, height: chart.height })), 120);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);

  // --- live: the server sends the parts that changed; an open <details> and the focus stay as they are
  const LATE = 15000;
  let stream = null, paused = sessionStorage.getItem("cb_paused") === "1", heard = Date.now();
  const adopt = (html) => {
    const incoming = new DOMParser().parseFromString(html, "text/html");
    for (const fresh of all("[id^='live-']", incoming.body)) {
      const old = document.getElementById(fresh.id);
      if (!old || old.isEqualNode(fresh)) continue;
      const open = new Set(all("details[open][id]", old).map((each) => each.id));
      const focus = old.contains(document.activeElement) ? document.activeElement.id || document.activeElement.getAttribute("href") : null;
      const chart = one("[data-chart]", old), place = one("[data-chart]", fresh);
      if (chart && place && charts.has(chart)) place.replaceWith(chart);
      all("details[id]", fresh).forEach((each) => { each.open = open.has(each.id); });
      for (const { name, value } of fresh.attributes) old.setAttribute(name, value);
      old.replaceChildren(...fresh.childNodes);
      if (focus) all("a, button, summary", old).find((each) => each.id === focus || each.getAttribute("href") === focus)?.focus({ preventScroll: true });
    }
    reveal();
    drawAll();
    tellAges();
  };
  let tried = 0;
  const connect = () => {
    if (stream?.readyState === EventSource.CLOSED && Date.now() - tried > LATE) disconnect();
    if (stream || paused || document.hidden || !document.body.dataset.live) return;
    tried = Date.now();
    stream = new EventSource(document.body.dataset.live);
    stream.addEventListener("overview", (event) => { heard = Date.now(); adopt(event.data); tellLive(); });
    stream.addEventListener("still", () => { heard = Date.now(); });
    stream.addEventListener("end", () => { disconnect(); location.reload(); });
  };
  const disconnect = () => { stream?.close(); stream = null; };
  const tellLive = () => {
    const late = !paused && Date.now() - heard > LATE;
    const text = one("[data-updated]");
    if (text) text.textContent = ago(heard);
    one("[data-live-control]")?.setAttribute("data-state", paused ? "paused" : late ? "late" : "live");
    all("[data-stales]").forEach((element) => element.classList.toggle("stale", late || (paused && Date.now() - heard > LATE)));
  };
  const pause = () => {
    paused = !paused;
    sessionStorage.setItem("cb_paused", paused ? "1" : "0");
    if (paused) disconnect(); else connect();
    one("[data-pause]")?.setAttribute("aria-pressed", String(paused));
    tellLive();
  };
  document.addEventListener("visibilitychange", () => { if (document.hidden) disconnect(); else connect(); });
  addEventListener("pagehide", disconnect);
  setInterval(() => { tellAges(); tellLive(); connect(); }, 1000);

  // --- what only works with a script is shown by it
  const reveal = (root = document) => all(".needs-js[hidden]", root).forEach((element) => { element.hidden = false; });

  // --- dialogs: a confirmation page opens in place; Escape and Cancel close it
  const dialog = one("#ask");
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "ask-body") return;
    if (!one("#confirm", dialog)) return;
    dialog.showModal();
    one("input:not([type=hidden]), textarea, button", dialog)?.focus();
  });
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.elt.matches("[data-ask]")) location.assign(event.detail.elt.href);
  });
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (!target) return;
    const close = target.closest("[data-close]");
    if (close && dialog?.open) { event.preventDefault(); dialog.close(); }
    if (target.closest("[data-pause]")) pause();
    if (target.closest("[data-help]")) one("#keys")?.showModal();
    const copy = target.closest("[data-copy]");
    if (copy) navigator.clipboard?.writeText(copy.dataset.copy).then(() => copy.classList.add("copied"), () => {});
    const every = target.closest("[data-select-all]");
    if (every) { rows().forEach((row) => { const box = one("[data-select]", row); if (box) box.checked = every.checked; }); tellSelected(); }
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("[data-select]")) tellSelected();
    if (event.target.matches?.("[data-submits]")) event.target.form.requestSubmit();
  });
  const tellSelected = () => {
    const count = all("[data-select]:checked").length;
    all("[data-selected]").forEach((element) => { element.textContent = count.toLocaleString(lang); });
    all("[data-needs-selection]").forEach((element) => { element.disabled = count === 0; });
  };

  // --- keyboard: / j k Enter x r g ? ; never while typing, never with a modifier
  const rows = () => all("[data-row]").filter((row) => row.offsetParent !== null);
  const GO = { o: "/", c: "/calls", b: "/batches", d: "/dead", p: "/parked", u: "/uncertain", a: "/accounts", s: "/sources" };
  let going = 0;
  const move = (step) => {
    const list = rows();
    if (!list.length) return;
    const index = list.findIndex((row) => row.classList.contains("here"));
    const next = list[Math.min(list.length - 1, Math.max(0, index < 0 ? 0 : index + step))];
    list.forEach((row) => row.classList.toggle("here", row === next));
    next.tabIndex = -1;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };
  const here = () => one("[data-row].here");
  const KEYS = {
    "/": () => one("[data-search]")?.focus(),
    j: () => move(1),
    k: () => move(-1),
    x: () => { const box = here() && one("[data-select]", here()); if (box) { box.checked = !box.checked; tellSelected(); } },
    r: () => {
      const ticked = one("[data-select]:checked") && one("[data-retry-selected]:not(:disabled)");
      const found = ticked || (here() && one("[data-retry]", here()));
      if (found) found.click();
    },
    "?": () => one("#keys")?.showModal(),
    g: () => { going = Date.now(); },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || one("dialog[open]")) return;
    if (event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
    if (event.key === "Enter" && here() && event.target === here()) {
      one("[data-open]", here())?.click();
      return;
    }
    if (Date.now() - going < 1500 && GO[event.key]) {
      location.assign(GO[event.key]);
      return;
    }
    const act = KEYS[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  reveal();
  tellSelected();
  tellAges();
  drawAll();
  one("[data-pause]")?.setAttribute("aria-pressed", String(paused));
  tellLive();
  connect();
})();
