"use strict";
// Keeps a page up to date, opens confirmations in place, and takes keys. Without it every page works all the same.
(() => {
  const PERIOD = 2000;
  const live = () => document.getElementById("live");
  const dialog = document.getElementById("dialog");
  const keys = document.getElementById("keys");
  const prefix = document.body.dataset.prefix;

  // -- live -----------------------------------------------------------------------------------------

  const isBusy = () => {
    const active = document.activeElement;
    const typing = active && active.matches("input, select, textarea") && live()?.contains(active);
    const marking = !document.getSelection().isCollapsed;
    return document.hidden || dialog.open || keys.open || typing || marking;
  };

  const say = (state) => {
    const dot = document.getElementById("live-state");
    if (!dot) return;
    dot.dataset.state = state;
    dot.textContent = { on: "live", off: "no connection", trouble: "no database" }[state];
  };

  setInterval(() => {
    if (live()?.querySelector("#confirm:not([data-trouble])") || !document.getElementById("live-state")) return;
    if (!isBusy()) htmx.trigger(live(), "goque:tick");
  }, PERIOD);

  document.body.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt.id !== "live") return;
    const status = event.detail.xhr.status;
    say(status === 503 ? "trouble" : event.detail.successful || status >= 400 ? "on" : "off");
  });

  document.body.addEventListener("htmx:afterSettle", () => {
    goOn();
    mark(selected);
  });

  // What somebody has unfolded stays so.
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");

  // A search that has found nothing yet goes on by itself, a bounded step at a time.
  const goOn = () => {
    const next = document.querySelector("a[data-go-on]");
    if (next && !document.hidden) location.replace(next.href);
  };
  setTimeout(goOn, 150);

  // -- confirmations --------------------------------------------------------------------------------

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.matches("[data-dialog]")) {
      event.preventDefault();
      htmx.ajax("GET", link.href, { target: "#dialog-body", select: "#confirm", swap: "innerHTML" }).then(() => {
        if (!dialog.open) dialog.showModal();
        dialog.querySelector("input:not([type=hidden]), button, a")?.focus();
      });
    } else if (link.matches("[data-close]") && dialog.open) {
      event.preventDefault();
      dialog.close();
    }
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

  // -- keys -----------------------------------------------------------------------------------------

  const PAGES = { o: "/", t: "/tasks", y: "/types", l: "/limits", j: "/jobs", n: "/nodes" };
  let selected = -1;
  let waitsForPage = false;

  const rows = () => [...document.querySelectorAll("tr[data-row]")];
  const mark = (index) => rows().forEach((row, at) => row.classList.toggle("selected", at === index));
  const select = (step) => {
    const all = rows();
    if (!all.length) return;
    selected = Math.min(Math.max(selected + step, 0), all.length - 1);
    mark(selected);
    all[selected].scrollIntoView({ block: "nearest" });
    all[selected].querySelector("a").focus({ preventScroll: true });
  };

  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (waitsForPage && PAGES[event.key]) {
      location.assign(prefix + PAGES[event.key]);
    } else if (event.key === "j" || event.key === "k") {
      select(event.key === "j" ? 1 : -1);
    } else if (event.key === "?") {
      keys.showModal();
    } else if (event.key === "/") {
      const first = document.querySelector(".filters input:not([type=hidden])");
      if (first) first.focus();
      else location.assign(`${prefix}/tasks`);
      event.preventDefault();
    }
    waitsForPage = event.key === "g";
  });
})();
