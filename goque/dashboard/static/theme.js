"use strict";
// Sets the chosen colours before the page is drawn; the choice is kept in this browser.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const read = () => {
    try {
      return localStorage.getItem("goque-theme");
    } catch {
      return null; // a browser that keeps nothing follows the system
    }
  };
  const show = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
    for (const button of document.querySelectorAll("[data-theme-choice]"))
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === (root.dataset.theme ?? "system")));
  };
  show(read());
  document.addEventListener("DOMContentLoaded", () => show(read()));
  window.addEventListener("storage", (event) => event.key === "goque-theme" && show(event.newValue));
  document.addEventListener("click", (event) => {
    const theme = event.target.closest?.("[data-theme-choice]")?.dataset.themeChoice;
    if (!theme) return;
    show(theme);
    try {
      if (theme === "system") localStorage.removeItem("goque-theme");
      else localStorage.setItem("goque-theme", theme);
    } catch {
      // the choice then lasts as long as the page
    }
  });
})();
