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
    const typing = active && active.matches("input:not([type=checkbox]), select, textarea") && live()?.contains(active);
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
    showLocalTimes();
    markAll();
  });

  // What somebody has unfolded or ticked stays so, and so do the local times, until they are set anew.
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) =>
    !(name === "open" && node.tagName === "DETAILS") && name !== "checked" && name !== "data-local";

  // A search that has found nothing yet goes on by itself, a bounded step at a time.
  const goOn = () => {
    const next = document.querySelector("a[data-go-on]");
    if (next && !document.hidden) location.replace(next.href);
  };
  setTimeout(goOn, 150);

  // -- local times -----------------------------------------------------------------------------------

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const isUtc = new Date().getTimezoneOffset() === 0 && /^(UTC|Etc|GMT)/.test(zone ?? "UTC");
  const day = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short" });
  const clock = new Intl.DateTimeFormat("sv-SE", { timeStyle: "medium" });

  const showLocalTimes = () => {
    if (isUtc) return;
    for (const node of document.querySelectorAll("time[datetime]")) {
      const instant = new Date(node.dateTime);
      if (Number.isNaN(instant.getTime())) continue;
      const isSameDay = day.format(instant) === node.dateTime.slice(0, 10);
      const local = `${isSameDay ? "" : `${day.format(instant)} `}${clock.format(instant)} local`;
      if (node.matches(".full")) node.dataset.local = local;
      else if (node.title.endsWith("UTC")) node.title += `, ${local}`;
    }
  };
  showLocalTimes();
  if (!isUtc) document.getElementById("zone").textContent = `, local times are ${zone}`;

  // -- copying ---------------------------------------------------------------------------------------

  const copy = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea"); // a page without TLS has no other way
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest(".copy");
    if (!button) return;
    const from = button.dataset.copyFrom;
    copy(from ? document.getElementById(from).textContent : button.dataset.copy).then(() => {
      button.textContent = "Copied";
      button.classList.add("is-copied");
      setTimeout(() => {
        button.textContent = "Copy";
        button.classList.remove("is-copied");
      }, 1500);
    });
  });

  // -- ticks -----------------------------------------------------------------------------------------

  const ticks = () => [...document.querySelectorAll(".tick input[name=id]")];
  const markAll = () => {
    const all = document.querySelector("[data-tick-all]");
    if (!all) return;
    const ticked = ticks().filter((one) => one.checked).length;
    all.checked = ticked > 0 && ticked === ticks().length;
    all.indeterminate = ticked > 0 && !all.checked;
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-tick-all]")) ticks().forEach((one) => (one.checked = event.target.checked));
    if (event.target.matches(".tick input")) markAll();
  });

  // -- confirmations --------------------------------------------------------------------------------

  const ask = (address) =>
    htmx.ajax("GET", address, { target: "#dialog-body", select: "#confirm", swap: "innerHTML" }).then(() => {
      if (!dialog.open) dialog.showModal();
      dialog.querySelector("input:not([type=hidden]), button, a")?.focus();
    });

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-dialog-form]") || !event.submitter) return;
    event.preventDefault();
    ask(`${event.submitter.formAction}?${new URLSearchParams(new FormData(event.target))}`);
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.matches("[data-dialog]")) {
      event.preventDefault();
      ask(link.href);
    } else if (link.matches("[data-close]") && dialog.open) {
      event.preventDefault();
      dialog.close();
    }
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

  // -- keys -----------------------------------------------------------------------------------------

  const PAGES = { o: "/", t: "/tasks", y: "/types", f: "/failures", l: "/limits", j: "/jobs", n: "/nodes" };
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
    if (event.target.matches("input:not([type=checkbox]), select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (waitsForPage && PAGES[event.key]) {
      location.assign(prefix + PAGES[event.key]);
    } else if (event.key === "j" || event.key === "k") {
      select(event.key === "j" ? 1 : -1);
    } else if (event.key === "x") {
      rows()[selected]?.querySelector(".tick input")?.click();
    } else if (event.key === "?") {
      keys.showModal();
    } else if (event.key === "/") {
      document.querySelector(".find input")?.focus();
      event.preventDefault();
    }
    waitsForPage = event.key === "g";
  });
})();
